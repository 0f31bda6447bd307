import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options


class RollingRestart:
    """All replicas are restarted the way an upgrade does it, one at a time, under load.

    Each says that it is not ready, lets the load balancer notice, finishes what it has in hand, gives back its
    claims and the lease, and is ready again before the next one goes. No read and no write may fail.
    """

    name = "rolling-restart"
    claims = (
        "available",
        "latency",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "starts-up",
        "one-leader",
        "singletons-resume",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        rolls = [Injection(faults.Roll()) for _ in range(options.trials)]
        return [Experiment(rolls, load=load) for load in options.orderly]

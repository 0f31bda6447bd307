import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options


class Upgrade:
    """Another release is rolled out under load, and taken back, by the playbooks that a user has.

    Every replica is replaced, twice. No read and no write may fail.
    """

    name = "upgrade"
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
        changes = [Injection(faults.ChangeRelease()), Injection(faults.ChangeRelease(back=True))]
        return [Experiment(changes * options.trials, load=load) for load in options.orderly]

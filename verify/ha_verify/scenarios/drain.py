import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options


class Drain:
    """The node of the leader is drained, as for its maintenance, under load, and opened again.

    Its replica is asked to go, which the disruption budget must allow, and another one takes its place on another
    node. No read and no write may fail.
    """

    name = "drain"
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
        return [
            Experiment([Injection(faults.DrainLeadersNode()) for _ in range(options.trials)], load=load)
            for load in options.orderly
        ]

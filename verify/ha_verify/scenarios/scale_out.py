import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options


class ScaleOut:
    """One replica becomes three while it serves, and while jobs run.

    The new replicas find the schema there, join the queue and the election, and get requests only when they are
    ready. Nobody should notice: no failed request, no lost write, no job done twice, and the same data everywhere.
    """

    name = "scale-out"
    claims = (
        "available",
        "latency",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "starts-up",
        "migrations-once",
        "replicas-agree",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        load = Load(reads=20, writes=4, refreshes=1)
        return [Experiment([Injection(faults.Scale(3))], load=load, replicas=1) for _ in range(options.trials)]

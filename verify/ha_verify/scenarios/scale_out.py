import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options


class ScaleOut:
    """Three replicas become one, and that one three again, while they serve, and while jobs run.

    Those that go answer first what they were asked, and give back claims and lease. Those that come find the schema
    there, join the queue and the election, and get requests only when they are ready. Nobody should notice: no
    failed request, no lost write, no job done twice, and the same data everywhere.
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
        there_and_back = [Injection(faults.Scale(1)), Injection(faults.Scale(3))]
        return [Experiment(there_and_back * options.trials, load=load) for load in options.orderly]

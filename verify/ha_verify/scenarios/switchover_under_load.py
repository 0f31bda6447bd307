import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class SwitchoverUnderLoad:
    """The database's primary role is handed to another member, as planned, again and again under load and jobs.

    By the procedure that a user has. Connections break and writes wait meanwhile: how long no write was acknowledged
    is measured in each trial. No acknowledged write may be lost, and the replicas of the catalog find the new primary
    by themselves. Each `--trials` stands for two switchovers, in the short form for one.

    Needs a database of three members, which it deploys.
    """

    name = "switchover-under-load"
    claims = (
        "one-writable-primary",
        "database-recovers",
        "no-restart",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "one-leader",
        "fenced",
        "recovers",
        "replicas-agree",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        times = options.trials if options.short else 2 * options.trials
        return [Experiment([Injection(faults.SwitchOver()) for _ in range(times)], load=MANY_WRITES)]

import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class ReplicaLoss:
    """A replica of the database is killed, or paused, under load: the other one confirms what is written.

    No write fails, and no read. Then it is back, and catches up. Needs a database of three members, which it deploys.
    """

    name = "replica-loss"
    claims = (
        "database-recovers",
        "one-writable-primary",
        "rejoins",
        "no-restart",
        "available",
        "writes-kept",
        "effects-once",
        "jobs-finish",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        injections = []
        for trial in range(options.trials):
            injections += [
                Injection(faults.LoseReplica("kill", trial), hold_seconds=5.0),
                Injection(faults.LoseReplica("pause", trial + 1), hold_seconds=5.0),
            ]
        return [Experiment(injections, load=MANY_WRITES)]

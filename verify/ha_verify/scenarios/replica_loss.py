import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class ReplicaLoss:
    """A replica of the database is killed, or paused, under load: the other one confirms what is written.

    No read fails. Nor does a write where either of the replicas may confirm it. Where a program names the one that has
    to, writes wait until it names the other, which is bounded; so it is away for longer than that. Then it is back, and
    catches up. Needs a database of three members, which it deploys.
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
        away_seconds = 5.0 + options.timing.database_unconfirmed
        for trial in range(options.trials):
            injections += [
                Injection(faults.LoseReplica("kill", trial), hold_seconds=away_seconds),
                Injection(faults.LoseReplica("pause", trial + 1), hold_seconds=away_seconds),
            ]
        return [Experiment(injections, load=MANY_WRITES)]

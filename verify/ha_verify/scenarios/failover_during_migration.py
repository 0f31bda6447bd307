import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class FailoverDuringMigration:
    """The database's primary is killed while a replica migrates under the lock, and others wait for it.

    The lock and what was begun are lost with the primary. On its successor one of the replicas takes the lock, finds
    what is pending there, and applies it: each version once. All of them become ready, and nobody starts them again
    by hand. Load comes when they are there. Needs a database of three members, which it deploys.
    """

    name = "failover-during-migration"
    claims = (
        "migrations-once",
        "starts-up",
        "one-writable-primary",
        "database-recovers",
        "rejoins",
        "recovers",
        "replicas-agree",
        "writes-kept",
        "effects-once",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        return [
            Experiment(
                [Injection(faults.LoseMigratingPrimary(), hold_seconds=1.0, wait_max_seconds=0)],
                load=MANY_WRITES,
                warm_up_seconds=1,
                load_after_faults=True,
                watch_locks=True,
            )
            for _ in range(options.trials)
        ]

import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class FailoverWhileLeaderChanges:
    """The database's primary and the catalog's leader are killed at the same moment.

    Nobody can be elected before there is a database to be elected by. Then the lease of the dead leader has to run
    out there, epochs go on where they were, and the loops resume. Needs a database of three members, which it deploys.
    """

    name = "failover-while-leader-changes"
    claims = (
        "failover",
        "singletons-resume",
        "one-leader",
        "fenced",
        "one-writable-primary",
        "database-recovers",
        "rejoins",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "recovers",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        lost = [
            Injection(faults.LosePrimary("kill", with_leader=True), hold_seconds=1.0) for _ in range(options.trials)
        ]
        return [Experiment(lost, load=MANY_WRITES)]

import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class DatabaseFailover:
    """The database's primary is killed with all its processes, paused, or isolated, and another takes over.

    Where a person replaces a lost primary, the run does what that person would do, and what counts against the bound
    begins when the database takes writes again; where a program does it, the run only waits. One that was paused
    wakes when its successor has taken writes. In one more trial its replicas get nothing of what it writes for a
    second before it is lost: whatever it acknowledged meanwhile, nobody else has. One that is isolated from the other
    members and from whoever decides keeps its clients, who go on to write to it. Where a program decides, its processes
    are also killed and at once started again by supervisord, which it takes for a loss as well.

    Where members have nodes, that of the primary is lost, or paused, with all that it runs, in a trial each. Clients
    that meet a replica there wait in vain until the node's silence is noticed, or the node is back.

    Each member is asked all the time what it is, and for a write. Afterwards the former primary is made a replica.
    Needs a database of three members, which it deploys.
    """

    name = "database-failover"
    claims = (
        "one-writable-primary",
        "database-recovers",
        "rejoins",
        "no-restart",
        "writes-kept",
        "effects-once",
        "jobs-finish",
        "one-leader",
        "fenced",
        "recovers",
    )

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        injections = []
        for _ in range(options.trials):
            injections += [Injection(faults.LosePrimary("pause"), hold_seconds=2.0)]
            if not options.short:  # split-brain and failover-while-leader-changes kill one in their short forms
                injections += [
                    Injection(faults.LosePrimary("kill"), hold_seconds=1.0),
                    Injection(faults.LosePrimary("crash"), hold_seconds=1.0),
                    Injection(faults.LosePrimary("kill", silenced=True), hold_seconds=1.0),
                    Injection(faults.LosePrimary("isolate"), hold_seconds=1.0),
                    Injection(faults.LosePrimary("pause its node"), hold_seconds=2.0),
                    Injection(faults.LosePrimary("lose its node"), hold_seconds=5.0),
                ]
        rng.shuffle(injections)
        return [Experiment(injections, load=MANY_WRITES)]

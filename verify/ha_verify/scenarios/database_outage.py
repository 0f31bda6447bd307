import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options


class DatabaseOutage:
    """PostgreSQL is restarted, crashes, is paused, loses its connections, and has none left.

    Meanwhile requests that need it fail, and readiness tells; nothing else may: no replica exits, no acknowledged
    write is lost, and everything works again by itself when the database is back. A pause is the hard one: its
    connections stay open and say nothing, so only deadlines of the client's own end the wait.
    """

    name = "database-outage"
    claims = ("recovers", "writes-kept", "effects-once", "jobs-finish", "one-leader", "fenced", "readiness-tells")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        # Each replica is asked every second and a half, and has to have been asked when the deadline is over.
        pause_seconds = options.timing.database_deadline + 5.0
        injections = []
        for _ in range(options.trials):
            injections += [
                Injection(faults.Database("crash")),
                Injection(faults.PauseDatabase(), hold_seconds=pause_seconds),
            ]
            if not options.short:
                injections += [
                    Injection(faults.Database("restart")),
                    Injection(faults.TerminateBackends()),
                    Injection(faults.ExhaustConnections(), hold_seconds=5.0),
                ]
        rng.shuffle(injections)
        return [Experiment(injections)]

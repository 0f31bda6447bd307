import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options


class SplitBrain:
    """A primary that was lost and replaced comes back as it was, as by the return of its machine.

    It has a write or more that nobody else has, and knows nothing of its successor. It must take no write: because it
    is kept from starting, or because it finds out. Then it gives up what it has alone, and follows.

    Or it never ended: it is isolated from the other members and from whoever decides who leads, while its clients still
    reach it.

    Needs a database of three members, which it deploys.
    """

    name = "split-brain"
    claims = ("one-writable-primary", "rejoins", "no-restart", "writes-kept", "effects-once", "jobs-finish", "recovers")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        injections = []
        for _ in range(options.trials):
            injections += [Injection(faults.LosePrimary("kill", silenced=True, returns=True), hold_seconds=1.0)]
            injections += [Injection(faults.LosePrimary("isolate"), hold_seconds=1.0)]
            if not options.short:
                injections += [Injection(faults.LosePrimary("kill", returns=True), hold_seconds=1.0)]
        return [Experiment(injections, load=MANY_WRITES)]

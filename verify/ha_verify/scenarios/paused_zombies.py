import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import WATCH_SECONDS, Experiment, Injection, Load, Options


class PausedZombies:
    """The leader, then a worker, is paused for longer than its lease and its claims last, and wakes up.

    Both wake in the middle of what they were doing, with open connections and the belief that lease and claims are
    theirs, while others have long taken over. Nothing that they still write may count: a leader's write is fenced
    by its epoch, a job's end by the token of its claim.
    """

    name = "paused-zombies"
    claims = ("fenced", "one-leader", "loops-stop", "claims-exclusive", "effects-once", "jobs-finish", "writes-kept")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        timing = options.timing
        asleep = max(timing.lease + timing.retry, timing.claim_lease + timing.rescue) + 3.0
        injections = []
        for _ in range(options.trials):
            injections.append(Injection(faults.PauseLeader(), hold_seconds=asleep, watch_seconds=WATCH_SECONDS))
            injections.append(Injection(faults.PauseWorker(), hold_seconds=asleep))
        return [Experiment(injections, load=Load(reads=10, writes=8, refreshes=2))]

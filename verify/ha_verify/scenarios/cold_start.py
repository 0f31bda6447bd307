import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options


class ColdStart:
    """All replicas are started at once, on an empty, a half-migrated and an up-to-date schema.

    They race for the migration lock; one of them applies what is pending, once, and the others wait for it. In a
    further start the holder of the lock is killed while it holds it: another one must take over and finish.

    Each start is a run of its own, since an empty schema has forgotten the run before. Load comes when the
    replicas are there; the tables show which version was applied, when, and by whom.
    """

    name = "cold-start"
    claims = ("migrations-once", "starts-up", "replicas-agree", "writes-kept", "effects-once")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        starts = [faults.ColdStart("empty"), faults.ColdStart("empty", kill_holder=True)]
        if not options.short:
            starts += [faults.ColdStart("half-migrated"), faults.ColdStart("current")]
        starts *= options.trials
        return [
            Experiment(
                [Injection(start, wait_max_seconds=0)],
                load=Load(reads=10, writes=4, refreshes=1),
                warm_up_seconds=1,
                load_after_faults=True,
                watch_locks=True,
            )
            for start in starts
        ]

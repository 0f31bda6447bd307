import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Options


class DiskFull:
    """The volume of the database fills up under load, for longer than a lease lasts, and is then given room.

    PostgreSQL refuses what needs room, and ends where its log does: it comes back, and ends again, until there is
    room. Writes fail meanwhile, and nobody can lead; but no acknowledged write is lost, no job is done twice, and when
    there is room everything goes on by itself. Needs root, which gives the database a volume of its own.
    """

    name = "disk-full"
    claims = ("recovers", "writes-kept", "effects-once", "jobs-finish", "one-leader", "fenced")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        hold_seconds = options.timing.lease + options.timing.retry
        return [Experiment([Injection(faults.FillDisk(), hold_seconds) for _ in range(options.trials)])]

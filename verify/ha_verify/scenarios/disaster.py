import random
from collections.abc import Callable

from ha_verify.faults import Fault
from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import MANY_WRITES, Experiment, Injection, Options

_RESTORED = ("rto", "rpo", "one-moment")


class DisasterFailover:
    """The primary and its data are destroyed, and a synchronous replica is promoted by the runbook.

    No acknowledged write may be lost: a replica has each. Afterwards the lost member is made anew.
    """

    name = "disaster-failover"
    claims = (*_RESTORED, "writes-kept", "one-writable-primary", "effects-once", "one-leader", "fenced")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        return _each_alone(faults.LosePrimaryWithData, options, rewinds=False)


class DisasterArchive:
    """All members and their data are destroyed, and restored from a backup and the archive of WAL.

    The archive receives WAL as it is written, so what is lost is what was on its way. The backup is taken a few seconds
    before: what is written since is in the archive alone.
    """

    name = "disaster-archive"
    claims = _RESTORED

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        return _each_alone(lambda: faults.LoseAllData("archive"), options)


class DisasterMoment:
    """Rows are deleted by mistake, and the database returns to the moment just before.

    The rows and their checksum are noted under a lock, so that what is brought back can be compared exactly although
    clients write all the time. What they write after the deletion is given up, and must not be there.
    """

    name = "disaster-moment"
    claims = (*_RESTORED, "exact-moment")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        return _each_alone(faults.DeleteRows, options)


class DisasterDump:
    """All members, their data and the archive are lost, and the newest dump is loaded into an empty database.

    All that was acknowledged when the dump was begun has to be there. How much is lost is how old the dump is: a few
    seconds here, up to a day by the schedule.
    """

    name = "disaster-dump"
    claims = _RESTORED

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        return _each_alone(lambda: faults.LoseAllData("dump"), options)


def _each_alone(make: Callable[[], Fault], options: Options, *, rewinds: bool = True) -> list[Experiment]:
    """A run for each: what is left in the end tells of one disaster only."""
    return [Experiment([Injection(make())], load=MANY_WRITES, rewinds=rewinds) for _ in range(options.trials)]

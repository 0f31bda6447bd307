import random

from ha_verify.faults import catalogue as faults
from ha_verify.scenarios.scenario import Experiment, Injection, Load, Options


class ClockJump:
    """The wall clock of a replica that does not lead jumps an hour ahead, then falls ten minutes behind.

    Nothing may follow from it: a lease, a claim and a schedule are judged by monotonic clocks or by the database's.
    The leader keeps its lease, and jobs are done once. (The replica may refuse tokens that its clock tells to be
    over, which is right: it is a write that fails, not one that is lost.)
    """

    name = "clock-jump"
    claims = ("one-leader", "fenced", "claims-exclusive", "effects-once", "jobs-finish", "writes-kept")

    def plan(self, options: Options, rng: random.Random) -> list[Experiment]:
        hold_seconds = options.timing.retry + 3.0
        injections = []
        for _ in range(options.trials):
            injections.append(Injection(faults.ShiftClock(3600.0), hold_seconds))
            if not options.short:
                injections.append(Injection(faults.ShiftClock(-600.0), hold_seconds))
        return [Experiment(injections, load=Load(reads=10, writes=8, refreshes=2))]

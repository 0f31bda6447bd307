"""What a disaster costs: how long nobody is served, and which acknowledged writes are gone.

One disaster a run. What is kept is what the table of acknowledged writes holds at the end. A write counts as one of
before when its answer came before the data were gone, and as one of afterwards when it was sent behind that: then it is
kept only if it went to the database that was recovered.
"""

import math
from dataclasses import dataclass

from ha_verify.checkers.bounds import recovery_point, recovery_time, timing_of
from ha_verify.checkers.injected import Injected, injected
from ha_verify.findings import Finding, Violation
from ha_verify.history import History, Operation

CLASS = "disaster"
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Disaster:
    """Times are seconds since the history began."""

    fault: Injected
    gone: float  # when the destruction was complete; by then no write of before is acknowledged any more
    kept: tuple[Operation, ...]  # acknowledged writes by the time of their answer, here those that are there at the end
    lost: tuple[Operation, ...]

    @property
    def method(self) -> str:
        return str(self.fault.proof["method"])

    @property
    def served_again(self) -> Operation | None:
        """The first that was sent after the disaster, and is kept."""
        return next((write for write in self.kept if write.invoke.seconds > self.gone), None)

    @property
    def lost_before(self) -> list[Operation]:
        """All but what was given up on purpose, by who returns to a moment, and what came after the recovery."""
        first = self.served_again
        ends = self.fault.struck if self.method == "moment" else answered(first) if first else math.inf
        return [write for write in self.lost if answered(write) < ends]

    @property
    def kept_before(self) -> list[Operation]:
        ends = self.fault.struck if self.method == "moment" else self.gone
        return [write for write in self.kept if write.invoke.seconds <= ends]

    @property
    def ended(self) -> float:
        """Of what was lost: the disaster, or an answer that was still given while it went on."""
        return max([self.fault.struck, *map(answered, self.lost_before)])

    def on_run_clock(self, key: str) -> float | None:
        """A time of the proof."""
        at = self.fault.proof.get(key)
        return None if at is None else self.fault.began + float(at) - self.fault.began_wall


def answered(write: Operation) -> float:
    assert write.completion is not None
    return write.completion.seconds


def disaster_of(history: History) -> Disaster | None:
    """None where there was none, or where what is left was not seen."""
    faults = [fault for fault in injected(history) if fault.class_ == CLASS]
    if not faults or not history.saw("probes"):
        return None
    fault = faults[0]
    stored = {row["value"] for row in history.rows("probes")}
    acknowledged = sorted((write for write in history.operations("write") if write.outcome == "ok"), key=answered)
    return Disaster(
        fault,
        fault.began + float(fault.proof["gone_at"]) - fault.began_wall,
        tuple(write for write in acknowledged if write.invoke.value["value"] in stored),
        tuple(write for write in acknowledged if write.invoke.value["value"] not in stored),
    )


def rto(history: History) -> Finding:
    """From the disaster to the first answer to a write that was sent afterwards and is kept."""
    found = disaster_of(history)
    if found is None:
        return Finding("rto", 0)
    fault, bound = found.fault, recovery_time(found.fault, timing_of(history))
    violations = []
    if "failed" in fault.proof:
        violations.append(Violation(f"{fault.name}: the runbook failed: {fault.proof['failed']}", fault.evidence))
    first = found.served_again
    if first is None:
        violations.append(Violation(f"{fault.name}: no write was kept any more", fault.evidence))
        return Finding("rto", 1, tuple(violations), bound=bound, unit="s")
    seconds = answered(first) - fault.struck
    if seconds > bound:
        message = f"{fault.name}: no write was kept for {seconds:.1f} s, not within {bound:g} s"
        violations.append(Violation(message, (*fault.evidence, *_indexes(first))))
    figures = {fault.name: [seconds]}
    return Finding("rto", 1, tuple(violations), measured=seconds, bound=bound, unit="s", figures=figures)


def rpo(history: History) -> Finding:
    """From the newest acknowledged write that survived to the disaster; 0 where none is lost.

    A trial is a write that was acknowledged before.
    """
    found = disaster_of(history)
    if found is None:
        return Finding("rpo", 0)
    fault, lost = found.fault, found.lost_before
    seconds, bound = _lost_seconds(found), _point_bound(found, history)
    violations = []
    if seconds > bound or (lost and not bound):
        message = f"{fault.name}: {len(lost)} acknowledged writes of {seconds:.2f} s are gone, not of {bound:g} s"
        shown = [index for write in lost[:SHOWN] for index in _indexes(write)]
        violations.append(Violation(message, (*fault.evidence, *shown)))
    return Finding(
        "rpo",
        len(lost) + len(found.kept_before),
        tuple(violations),
        measured=seconds,
        bound=bound,
        unit="s",
        figures={fault.name: [seconds]},
    )


def _lost_seconds(found: Disaster) -> float:
    if not found.lost_before:
        return 0.0
    newest = max(map(answered, found.kept_before), default=0.0)
    return max(0.0, found.ended - newest)


def _point_bound(found: Disaster, history: History) -> float:
    """Of a dump: what was acknowledged when it was begun has to be there, and so the newest such write."""
    prepared = found.on_run_clock("prepared_at") or 0.0
    newest = max((at for at in map(answered, (*found.kept, *found.lost)) if at <= prepared), default=0.0)
    return recovery_point(found.method, timing_of(history), dump_age=found.ended - newest)


def one_moment(history: History) -> Finding:
    """Nothing is missing before what is there, and nothing that came after the recovery is missing.

    A write that was sent when another had been acknowledged is later in the database: without the other it must not be
    there. A trial is a write that is kept. Figures: how many acknowledged writes were lost.
    """
    found = disaster_of(history)
    if found is None:
        return Finding("one-moment", 0)
    last_sent = max((write.invoke.seconds for write in found.kept_before), default=0.0)
    holes = [write for write in found.lost if answered(write) < last_sent]
    violations = [
        Violation(f"{_value(write)} is gone, though a later write is there", _indexes(write)) for write in holes
    ]
    first = found.served_again
    if first is not None:
        after = [write for write in found.lost if write.invoke.seconds > answered(first)]
        violations += [
            Violation(f"{_value(write)} was acknowledged after the recovery, and is gone", _indexes(write))
            for write in after
        ]
    figures = {found.fault.name: [float(len(found.lost_before))]}
    return Finding("one-moment", len(found.kept), tuple(violations), figures=figures)


def exact_moment(history: History) -> Finding:
    """Rows and checksum are those that were noted just before the moment, and nothing that came after it is there."""
    found = disaster_of(history)
    if found is None or found.method != "moment":
        return Finding("exact-moment", 0)
    fault = found.fault
    expected, restored = fault.proof["rows"], fault.proof.get("restored")
    violations = []
    if restored != expected:
        violations.append(Violation(f"{expected} was there, and {restored} is restored", fault.evidence))
    began = found.on_run_clock("began_at") or found.gone
    later = [write for write in found.kept if write.invoke.seconds > found.gone and answered(write) < began]
    violations += [
        Violation(f"{_value(write)} is there, and was written after the moment", _indexes(write)) for write in later
    ]
    return Finding("exact-moment", int(expected["count"]), tuple(violations))


def _value(write: Operation) -> str:
    return repr(write.invoke.value["value"])


def _indexes(write: Operation) -> tuple[int, ...]:
    return (write.invoke.index, *([write.completion.index] if write.completion else []))

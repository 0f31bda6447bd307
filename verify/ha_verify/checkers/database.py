"""The members of a replicated database: who takes writes, when writes are acknowledged again, who comes back."""

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ha_verify.checkers.bounds import Bound, recovery, timing_of
from ha_verify.checkers.injected import Injected, injected
from ha_verify.findings import Finding, Violation
from ha_verify.history import Event, History, Operation

# Classes: the primary has to be replaced.
LOSSES = ("database-failover", "database-and-leader", "database-and-migration", "database-isolation", "database-node")
CHANGES = (*LOSSES, "database-switchover")  # another primary afterwards
CLASSES = (*CHANGES, "database-replica")
SHOWN = 5


@dataclass(frozen=True, slots=True)
class _Write:
    """One that a member acknowledged. Times in seconds since the history began."""

    member: str
    timeline: int
    asked: float
    answered: float
    index: int


def one_writable_primary(history: History) -> Finding:
    """A timeline has one member that takes writes; where a newer one took a write, an older one takes none any more.

    Nor does a member that was succeeded go on to call itself a primary, but for as long as whatever ends that may
    take; where that is a program, from when it reaches the member again. A trial is a member that was asked for a
    write.
    """
    writes = _acknowledged(history)
    violations = [*_two_on_a_timeline(history, writes), *_steps_back(writes), *_not_fenced(history, writes)]
    return Finding("one-writable-primary", len(history.of("member write")), tuple(violations))


def writes_return(history: History) -> Finding:
    """After the loss or the change of the primary, writes are acknowledged again within the bound of the class.

    That counts from when the database took writes again, which has a bound of its own where a program sees to it.
    While a replica is away no write fails, but for as long as whatever chooses who confirms may take to choose another.
    Figures: how long no write was acknowledged, per fault.
    """
    timing = timing_of(history)
    writes = history.operations("write")
    failed = [write for write in writes if write.outcome != "ok"]
    gaps: dict[str, list[float]] = defaultdict(list)
    violations: list[Violation] = []
    worst = (0.0, 0.0)  # seconds and their bound
    faults = [fault for fault in injected(history) if fault.class_ in CLASSES]
    for fault in faults:
        bound = recovery(fault.class_, timing)
        if fault.class_ == "database-replica":
            bound = Bound("struck", timing.database_unconfirmed)
        anchor = bound.until(fault) - bound.seconds
        last = max((at for at in map(_due, failed) if fault.struck <= at < fault.window_end), default=anchor)
        seconds = max(0.0, last - anchor)
        worst = max(worst, (seconds, bound.seconds))
        if seconds > bound.seconds:
            message = f"{fault.name}: writes were not acknowledged for {seconds:.2f} s, not within {bound.seconds:g} s"
            violations.append(Violation(message, (*fault.evidence, *_indexes(failed, fault)[-SHOWN:])))
        gap = _longest_gap(writes, fault)
        if math.isinf(gap):
            violations.append(Violation(f"{fault.name}: no write was acknowledged any more", fault.evidence))
        elif any(write.outcome == "ok" and _due(write) <= fault.struck for write in writes):  # else there was no load
            gaps[fault.name].append(gap)
        violations += _late(fault, gap, timing.database_failover, timing.database_switchover + bound.seconds)
    finding = Finding("database-recovers", len(faults), tuple(violations), unit="s", figures=dict(gaps))
    if not faults:
        return finding
    return Finding(
        finding.claim, finding.trials, finding.violations, measured=worst[0], bound=worst[1], unit="s", figures=gaps
    )


def rejoin(history: History) -> Finding:
    """Who was away is a standby in the end, which gets what the primary of the newest timeline writes."""
    faults = [fault for fault in injected(history) if fault.class_ in CLASSES and "member" in fault.proof]
    violations = []
    for fault in faults:
        looks = [event for event in _looks(history) if fault.effective < event.seconds <= fault.window_end]
        own = [event for event in looks if event.value["member"] == fault.proof["member"]]
        newest = max((event.value["timeline"] for event in looks), default=0)
        last = own[-1] if own else None
        if last is None or not last.value["follows"] or last.value["timeline"] < newest:
            seen = (
                "did not answer" if last is None else f"was {last.value['role']} on timeline {last.value['timeline']}"
            )
            violations.append(
                Violation(
                    f"{fault.name}: {fault.proof['member']} {seen}, and followed nobody on {newest}",
                    (*fault.evidence, *([last.index] if last else [])),
                )
            )
    return Finding("rejoins", len(faults), tuple(violations))


def no_restart(history: History) -> Finding:
    """No replica's process is another one after a fault of the database than before it.

    Seen as starts, which are recorded when the replica is ready, or at the end. Faults that end a replica as well do
    not count.
    """
    faults = [fault for fault in injected(history) if fault.class_ in CLASSES and fault.replica is None]
    violations = [
        Violation(f"{fault.name}: {event.value['replica']} was started again", (*fault.evidence, event.index))
        for fault in faults
        for event in history.of("startup")
        if fault.began < event.seconds <= fault.window_end
    ]
    return Finding("no-restart", len(faults), tuple(violations))


def _acknowledged(history: History) -> list[_Write]:
    return [
        _Write(
            event.value["member"],
            event.value["timeline"],
            event.value["asked_ns"] / 1e9,
            event.seconds,
            event.index,
        )
        for event in history.of("member write")
        if event.error is None
    ]


def _looks(history: History) -> list[Event]:
    return [event for event in history.of("member") if event.error is None]


def _two_on_a_timeline(history: History, writes: Sequence[_Write]) -> list[Violation]:
    """By what they acknowledged, and by what they call themselves."""
    seen: dict[int, dict[str, int]] = defaultdict(dict)
    for write in writes:
        seen[write.timeline].setdefault(write.member, write.index)
    for event in _looks(history):
        if event.value["role"] == "primary":
            seen[event.value["timeline"]].setdefault(event.value["member"], event.index)
    return [
        Violation(f"{' and '.join(sorted(members))} take writes on timeline {timeline}", tuple(members.values()))
        for timeline, members in seen.items()
        if len(members) > 1
    ]


def _steps_back(writes: Sequence[_Write]) -> list[Violation]:
    """A write that was asked for after one on a newer timeline had been acknowledged."""
    violations = []
    newest: _Write | None = None
    for write in sorted(writes, key=lambda each: each.answered):
        if newest is not None and write.timeline < newest.timeline and write.asked > newest.answered:
            message = f"{write.member} took a write on timeline {write.timeline}, after {newest.member} did on "
            violations.append(Violation(f"{message}{newest.timeline}", (newest.index, write.index)))
        if newest is None or write.timeline > newest.timeline:
            newest = write
    return violations[:SHOWN]


def _not_fenced(history: History, writes: Sequence[_Write]) -> list[Violation]:
    """Members that were succeeded and call themselves primaries, in one sample after the other for too long."""
    timing = timing_of(history)
    patience = timing.database_fenced
    faults = injected(history) if timing.database_failover else []
    isolations = [fault for fault in faults if fault.class_ == "database-isolation"]
    violations = []
    since: dict[str, Event] = {}  # by member: the first look of an unbroken series
    told: set[int] = set()
    for event in history.of("member"):
        name = event.value["member"]
        if event.error is not None:
            continue  # it says nothing, neither this nor that
        if event.value["role"] != "primary" or not _succeeded(event, writes) or _is_isolated(event, isolations):
            since.pop(name, None)
            continue
        first = since.setdefault(name, event)
        if event.seconds - first.seconds >= patience and first.index not in told:
            told.add(first.index)
            message = (
                f"{name} calls itself the primary on timeline {event.value['timeline']}, although it was succeeded"
            )
            violations.append(Violation(message, (first.index, event.index)))
    return violations


def _is_isolated(look: Event, isolations: Sequence[Injected]) -> bool:
    """Whoever would tell the member that it was succeeded can not."""
    return any(
        fault.proof.get("member") == look.value["member"]
        and fault.struck <= look.seconds <= (fault.heal_began or math.inf)
        for fault in isolations
    )


def _succeeded(look: Event, writes: Sequence[_Write]) -> bool:
    """Whether a newer timeline had taken a write before the member was looked at."""
    asked = look.value["asked_ns"] / 1e9
    return any(write.timeline > look.value["timeline"] and write.answered < asked for write in writes)


def _late(fault: Injected, gap: float, failover: float | None, switchover: float) -> list[Violation]:
    violations = []
    if fault.class_ in LOSSES and failover is not None:
        seconds = fault.writable - fault.struck
        if seconds > failover:
            message = f"{fault.name}: a successor took writes after {seconds:.2f} s, not within {failover:g} s"
            violations.append(Violation(message, fault.evidence))
    if fault.class_ == "database-switchover" and switchover < gap < math.inf:
        message = f"{fault.name}: no write was acknowledged for {gap:.2f} s, not within {switchover:g} s"
        violations.append(Violation(message, fault.evidence))
    return violations


def _due(write: Operation) -> float:
    return write.intended_seconds


def _indexes(failed: Sequence[Operation], fault: Injected) -> list[int]:
    return [write.invoke.index for write in failed if fault.struck <= write.intended_seconds < fault.window_end]


def _longest_gap(writes: Sequence[Operation], fault: Injected) -> float:
    """Between two acknowledgements, from the last before the fault to the first after its window; infinite without."""
    at = sorted(write.completion.seconds for write in writes if write.outcome == "ok" and write.completion is not None)
    before = [each for each in at if each <= fault.struck]
    within = [each for each in at if fault.struck < each]
    if not within:
        return math.inf
    series = [*before[-1:], *(each for each in within if each <= fault.window_end)]
    series += [each for each in within if each > fault.window_end][:1] if len(series) < 2 else []
    return max((later - earlier for earlier, later in pairwise(series)), default=0.0)

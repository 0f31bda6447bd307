"""What clients got: from their own ledger, by the time at which each request was meant to start."""

import itertools
from collections.abc import Sequence

from ha_verify.checkers.bounds import READ_P99_SECONDS, recovery, timing_of
from ha_verify.checkers.injected import injected
from ha_verify.findings import Finding, Violation
from ha_verify.history import RUN, History, Operation

SHOWN = 20
# A replica that is asked to end answers first what it was asked before; nobody else could repeat a write.
ORDERLY = ("roll", "scale", "drain", "leader-term", "replica-term", "leader-delete", "replica-delete")


def available(history: History) -> Finding:
    """Reads are answered, but for those in the windows in which a fault of its class may cost some.

    So is every write while replicas end in good order.
    """
    windows = _windows(history)
    reads = history.operations("read")
    failed = [read for read in reads if read.outcome != "ok" and read.completion is not None]
    outside = [read for read in failed if not _within(read.intended_seconds, windows)]
    violations = [
        Violation(
            f"a read failed at {read.intended_seconds:.2f} s: {read.completion.error if read.completion else ''}",
            (read.invoke.index, *([read.completion.index] if read.completion else [])),
        )
        for read in outside[:SHOWN]
    ]
    if len(outside) > SHOWN:
        violations.append(Violation(f"{len(outside) - SHOWN} more reads failed"))
    violations += _writes_cut_off(history)
    figures = {
        "reads": len(reads),
        "failed": len(failed),
        "longest gap without a success, s": _longest_gap(reads),
        "p99 of all, s": percentile(latencies(reads), 99),
    }
    return Finding("available", len(reads), tuple(violations), figures=figures)


def latency(history: History) -> Finding:
    """The 99th percentile of reads outside of the windows in which they may fail, from their intended start."""
    windows = _windows(history)
    calm = latencies([read for read in history.operations("read") if not _within(read.intended_seconds, windows)])
    slo = history.run.get("slo") or {}
    bound = float(slo.get("read_p99_seconds", READ_P99_SECONDS))
    measured = percentile(calm, 99)
    violations = []
    if measured is not None and measured > bound:
        violations.append(Violation(f"the 99th percentile of reads is {measured:.3f} s, not within {bound:g} s"))
    figures = {f"p{rank}, s": percentile(calm, rank) for rank in (50, 95, 99, 100)}
    return Finding("latency", len(calm), tuple(violations), measured=measured, bound=bound, unit="s", figures=figures)


def recovers(history: History) -> Finding:
    """After each fault reads succeed again within the bound of its class, and the deployment is whole again.

    The time is that from the anchor of the class to the intended start of the last read that failed.
    """
    timing = timing_of(history)
    failed = [read.intended_seconds for read in history.operations("read") if read.outcome != "ok"]
    violations = [
        Violation(f"{event.value['what']} was not seen: {event.error}", (event.index,))
        for event in history.of("not in time", process=RUN)
    ]
    seconds_by_class: dict[str, list[float]] = {}
    faults = injected(history)
    for fault in faults:
        bound = recovery(fault.class_, timing)
        last = max((at for at in failed if fault.began <= at < fault.window_end), default=None)
        anchor = bound.until(fault) - bound.seconds
        seconds = max(0.0, last - anchor) if last is not None else 0.0
        seconds_by_class.setdefault(fault.class_, []).append(seconds)
        if seconds > bound.seconds:
            message = f"{fault.name}: reads failed for {seconds:.2f} s more, not within {bound.seconds:g} s"
            violations.append(Violation(message, fault.evidence))
    figures = {class_: max(seconds) for class_, seconds in seconds_by_class.items()}
    bounds = [recovery(class_, timing).seconds for class_ in seconds_by_class]
    return Finding(
        "recovers",
        len(faults),
        tuple(violations),
        measured=max(figures.values(), default=None),
        bound=max(bounds, default=None),
        unit="s",
        figures=figures,
    )


def latencies(operations: Sequence[Operation]) -> list[float]:
    """Of those that were answered, from their intended start, in ascending order. In seconds."""
    return sorted(
        operation.completion.seconds - operation.intended_seconds
        for operation in operations
        if operation.completion is not None and operation.outcome == "ok"
    )


def percentile(ascending: Sequence[float], rank: float) -> float | None:
    """The smallest value that `rank` percent of all do not exceed; None of nothing."""
    if not ascending:
        return None
    return ascending[min(len(ascending) - 1, max(0, -int(-len(ascending) * rank // 100) - 1))]


def _windows(history: History) -> list[tuple[float, float]]:
    """In which a fault of its class may cost some reads: (from, until)."""
    timing = timing_of(history)
    bounds = [(fault, recovery(fault.class_, timing)) for fault in injected(history)]
    return [(fault.began, bound.until(fault)) for fault, bound in bounds if bound.seconds]


def _writes_cut_off(history: History) -> list[Violation]:
    timing = timing_of(history)
    orderly = [
        (fault.began, fault.effective)
        for fault in injected(history)
        if fault.class_ in ORDERLY and not recovery(fault.class_, timing).seconds
    ]
    return [
        Violation(
            f"a write was not answered while replicas ended in order: {write.completion.error}",
            (write.invoke.index, write.completion.index),
        )
        for write in history.operations("write")
        if write.outcome != "ok" and write.completion is not None and _within(write.intended_seconds, orderly)
    ]


def _longest_gap(reads: Sequence[Operation]) -> float | None:
    successes = sorted(read.completion.seconds for read in reads if read.outcome == "ok" and read.completion)
    return max((later - earlier for earlier, later in itertools.pairwise(successes)), default=None)


def _within(at: float, windows: Sequence[tuple[float, float]]) -> bool:
    return any(began <= at <= end for began, end in windows)

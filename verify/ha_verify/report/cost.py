"""What each fault cost clients: the requests that were due from its beginning to that of the next."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ha_verify.checkers.availability import percentile
from ha_verify.checkers.injected import injected
from ha_verify.history import History, Operation
from ha_verify.report.traffic import FUNCTIONS


@dataclass(frozen=True, slots=True)
class Cost:
    """`longest_gap` is in seconds, between two answers; latencies are in milliseconds, from when a request was due."""

    fault: str
    requests: int
    failed: int
    unknown: int
    longest_gap: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    worst: float | None


def costs(history: History) -> list[Cost]:
    """In the order of the faults, and first what there was before any. Windows without requests are left out."""
    faults = injected(history)
    begins = [0.0, *(fault.began for fault in faults)]
    ends = [*begins[1:], float("inf")]
    names = ["before any fault", *(f"{fault.name}, {fault.began:.1f} s" for fault in faults)]
    operations = history.operations(*FUNCTIONS)
    windows = [
        (name, [operation for operation in operations if begin <= operation.intended_seconds < end])
        for name, begin, end in zip(names, begins, ends, strict=True)
    ]
    run_ended = history[-1].seconds if len(history) else 0.0
    return [_cost(name, window, run_ended) for name, window in windows if window]


def _cost(name: str, operations: Sequence[Operation], run_ended: float) -> Cost:
    outcomes = [operation.outcome for operation in operations]
    # Failed requests count: to leave them out would flatter the very moments that matter.
    latencies = sorted(
        ((operation.completion.seconds if operation.completion else run_ended) - operation.intended_seconds) * 1e3
        for operation in operations
    )
    answered = sorted(
        operation.completion.seconds
        for operation in operations
        if operation.outcome == "ok" and operation.completion is not None
    )
    return Cost(
        fault=name,
        requests=len(operations),
        failed=outcomes.count("fail"),
        unknown=outcomes.count("info"),
        longest_gap=max((later - earlier for earlier, later in pairwise(answered)), default=None),
        p50=percentile(latencies, 50),
        p95=percentile(latencies, 95),
        p99=percentile(latencies, 99),
        worst=latencies[-1],
    )

"""What clients saw, summed up in equal buckets of time."""

from dataclasses import dataclass

from ha_verify.checkers.availability import percentile
from ha_verify.history import History

FUNCTIONS = ("read", "write", "refresh")
_WIDTHS_SECONDS = (1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Requests that were due in [start, start + width). Latencies are in milliseconds, None where there are none."""

    start: float
    ok: int
    failed: int
    unknown: int
    p50: float | None
    p95: float | None
    worst: float | None


@dataclass(frozen=True, slots=True)
class Traffic:
    width_seconds: float
    buckets: tuple[Bucket, ...]


def traffic(history: History, seconds: float, buckets_max: int) -> Traffic:
    """Every request counts in the bucket in which it was due, also where it was sent late or never answered.

    Latency runs from when it was due (so a stall is not left out by a client that waits it out) until its outcome
    was known, whatever the outcome: leaving failed requests out would flatter the very moments that matter.
    """
    width = next((width for width in _WIDTHS_SECONDS if seconds / width <= buckets_max), seconds / buckets_max)
    count = int(seconds // width) + 1
    outcomes: list[dict[str, int]] = [{"ok": 0, "fail": 0, "info": 0} for _ in range(count)]
    latencies: list[list[float]] = [[] for _ in range(count)]
    for operation in history.operations(*FUNCTIONS):
        completion = operation.completion
        due = operation.intended_seconds
        bucket = min(max(int(due // width), 0), count - 1)
        outcomes[bucket][operation.outcome] += 1
        latencies[bucket].append(((completion.seconds if completion else seconds) - due) * 1e3)
    return Traffic(
        width,
        tuple(
            _bucket(index * width, outcome, sorted(latency))
            for index, (outcome, latency) in enumerate(zip(outcomes, latencies, strict=True))
        ),
    )


def _bucket(start: float, outcome: dict[str, int], latencies: list[float]) -> Bucket:
    return Bucket(
        start=start,
        ok=outcome["ok"],
        failed=outcome["fail"],
        unknown=outcome["info"],
        p50=percentile(latencies, 50),
        p95=percentile(latencies, 95),
        worst=latencies[-1] if latencies else None,
    )

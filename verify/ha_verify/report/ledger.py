"""The execution ledger of a run: which worker attempted which job when, and how it ended."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from ha_verify.history import History
from ha_verify.report.timeline import RunClock

ORDINARY = "completed"


@dataclass(frozen=True, slots=True)
class Attempt:
    job: str
    token: str
    attempt: int
    worker: str
    outcome: str
    start: float
    end: float


def attempts(history: History) -> list[Attempt]:
    clock = RunClock(history)
    return [
        Attempt(
            job=str(row["job_id"]),
            token=str(row["token"]),
            attempt=int(row["attempt"]),
            worker=str(row["worker_id"]),
            outcome=str(row["outcome"]),
            start=clock.seconds(row["claimed_at"]),
            end=clock.seconds(row["finished_at"]),
        )
        for row in history.rows("job_attempts")
    ]


def thinned(every: Sequence[Attempt], completed_max: int) -> list[Attempt]:
    """Every attempt that did not complete; of those that did, evenly spread ones and always each worker's slowest."""
    completed = [attempt for attempt in every if attempt.outcome == ORDINARY]
    if len(completed) <= completed_max:
        return list(every)
    step = -(-len(completed) // completed_max)
    by_worker: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in completed:
        by_worker[attempt.worker].append(attempt)
    kept = {attempt.token for attempt in completed[::step]}
    kept |= {max(own, key=lambda attempt: attempt.end - attempt.start).token for own in by_worker.values()}
    return [attempt for attempt in every if attempt.outcome != ORDINARY or attempt.token in kept]

"""What a job is: small values, no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

State = Literal["available", "running", "completed", "dead", "cancelled"]
STATES: tuple[State, ...] = ("available", "running", "completed", "dead", "cancelled")
Outcome = Literal["completed", "failed", "rescued", "released", "cancelled"]


@dataclass(frozen=True, slots=True)
class Job:
    """One row of the queue as it was read."""

    id: int
    kind: str
    payload: Mapping[str, Any]
    state: State
    priority: int
    dedupe_key: str | None
    run_at: datetime
    attempt: int  # claims so far
    max_attempts: int
    created_at: datetime
    finished_at: datetime | None = None
    last_error: str | None = None
    claim_token: int | None = None
    worker_id: str | None = None
    claimed_at: datetime | None = None
    claim_expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one worker to run one job, until it expires. The token says which claim it is."""

    token: int
    job: Job
    pickup_seconds: float  # from when the job could run to the claim, by the database clock


@dataclass(frozen=True, slots=True)
class Attempt:
    """One row of the execution ledger: a claim that has ended."""

    token: int
    job_id: int
    attempt: int
    worker_id: str
    outcome: Outcome
    claimed_at: datetime
    finished_at: datetime
    error: str | None

"""The only SQL on probes."""

from dataclasses import dataclass
from datetime import datetime

from catalog_server.db import Session
from catalog_server.jobs import Job, Queue

KIND = "probe"
MAX_VALUE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Effect:
    """One time that a probe's job took effect."""

    job_id: int
    token: int
    worker_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Probe:
    """An accepted value and what became of it."""

    value: str
    created_at: datetime
    effects: tuple[Effect, ...]


def accept(session: Session, queue: Queue, value: str, *, max_attempts: int) -> Job | None:
    """Stores the value and queues its job; None if the value was accepted before. Call it in a transaction."""
    stored = session.execute(
        f"""
        INSERT INTO probes (value, created_at) VALUES (%(value)s, {session.dialect.now})
        ON CONFLICT (value) DO NOTHING
        """,
        value=value,
    )
    if not stored:
        return None
    job, _ = queue.enqueue(session, KIND, {"value": value}, max_attempts=max_attempts)
    return job


def append_effect(session: Session, job: Job) -> None:
    """The effect of a probe's job."""
    session.execute(
        f"""
        INSERT INTO probe_effects (value, job_id, token, worker_id, at)
        VALUES (%(value)s, %(job_id)s, %(token)s, %(worker_id)s, {session.dialect.now})
        """,
        value=job.payload["value"],
        job_id=job.id,
        token=job.claim_token,
        worker_id=job.worker_id,
    )


def get(session: Session, value: str) -> Probe | None:
    row = session.row("SELECT value, created_at FROM probes WHERE value = %(value)s", value=value)
    if row is None:
        return None
    at = session.dialect.to_datetime
    effects = session.rows(
        "SELECT job_id, token, worker_id, at FROM probe_effects WHERE value = %(value)s ORDER BY id", value=value
    )
    return Probe(
        row.value,
        at(row.created_at),
        tuple(Effect(effect.job_id, effect.token, effect.worker_id, at(effect.at)) for effect in effects),
    )


def purge(session: Session, *, retention_seconds: float) -> int:
    """Removes probes and effects older than the retention; returns how many probes."""
    session.execute(f"DELETE FROM probe_effects WHERE at < {session.dialect.after('since')}", since=-retention_seconds)
    return session.execute(
        f"DELETE FROM probes WHERE created_at < {session.dialect.after('since')}", since=-retention_seconds
    )

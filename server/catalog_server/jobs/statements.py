"""The two statements of the queue that PostgreSQL and SQLite spell differently, and rows turned into values."""

import json
from collections.abc import Sequence
from typing import Any

from catalog_server.db import Dialect, Session
from catalog_server.jobs.job import Attempt, Claim, Job

COLUMNS = (
    "id, kind, payload, state, priority, dedupe_key, run_at, attempt, max_attempts, created_at, finished_at,"
    " last_error, claim_token, worker_id, claimed_at, claim_expires_at"
)
ATTEMPT_COLUMNS = "token, job_id, attempt, worker_id, outcome, claimed_at, finished_at, error"
_RETURNING = ", ".join(f"jobs.{column}" for column in COLUMNS.split(", "))

# statement_timestamp() rather than the clock: constant within the statement, so that the index can be used.
_CLAIM_POSTGRESQL = f"""
    WITH next AS (
        SELECT id FROM jobs
        WHERE state = 'available' AND run_at <= statement_timestamp() AND kind = ANY(%(kinds)s)
        ORDER BY priority, run_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
    )
    UPDATE jobs
    SET state = 'running', attempt = attempt + 1, claim_token = nextval('job_claim_tokens'),
        worker_id = %(worker_id)s, claimed_at = clock_timestamp(),
        claim_expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
    FROM next WHERE jobs.id = next.id
    RETURNING {_RETURNING}, extract(epoch FROM jobs.claimed_at - jobs.run_at)::float8 AS pickup_seconds
"""


def claim(session: Session, parameters: dict[str, Any]) -> list[Any]:
    """Rows of jobs just claimed, with the columns of a job and pickup_seconds."""
    if session.dialect.name == "postgresql":
        return session.rows(_CLAIM_POSTGRESQL, **parameters)
    dialect = session.dialect
    with session.transaction():
        claimed = session.rows(
            f"""
            UPDATE jobs
            SET state = 'running', attempt = attempt + 1, claim_token = next.token,
                worker_id = %(worker_id)s, claimed_at = {dialect.now},
                claim_expires_at = {dialect.after("lease_seconds")}
            FROM (
                SELECT id, (SELECT last FROM job_claim_tokens)
                    + row_number() OVER (ORDER BY priority, run_at, id) AS token
                FROM jobs
                WHERE state = 'available' AND run_at <= {dialect.now} AND {dialect.any_of("kind", "kinds")}
                ORDER BY token LIMIT %(limit)s
            ) AS next
            WHERE jobs.id = next.id
            RETURNING {_RETURNING}, (julianday(jobs.claimed_at) - julianday(jobs.run_at)) * 86400.0 AS pickup_seconds
            """,
            **parameters,
        )
        if claimed:
            last = max(row.claim_token for row in claimed)
            session.execute("UPDATE job_claim_tokens SET last = %(last)s", last=last)
        return claimed


def end_claims(session: Session, pairs: Sequence[tuple[int, int]], *, assignment: str, **parameters: Any) -> set[int]:
    """Ends those of the claims (pairs of job id and token) that are held, and writes their ledger rows.

    `assignment` says what becomes of the jobs; the parameters `outcome` and `error` go to the ledger. Returns
    the tokens of the claims that were held.
    """
    parameters |= pair_parameters(session.dialect, pairs)
    update = f"""
        UPDATE jobs SET {assignment}, claim_expires_at = NULL
        FROM {pairs_of(session.dialect)}
        WHERE jobs.id = pair.id AND jobs.state = 'running' AND jobs.claim_token = pair.token
        RETURNING jobs.claim_token AS token, jobs.id AS job_id, jobs.attempt, jobs.worker_id, jobs.claimed_at
    """
    if session.dialect.name == "postgresql":
        ledger = f"""
            WITH ended AS ({update})
            INSERT INTO job_attempts ({ATTEMPT_COLUMNS})
            SELECT token, job_id, attempt, worker_id, %(outcome)s, claimed_at, clock_timestamp(), %(error)s
            FROM ended RETURNING token
        """
        return {row.token for row in session.rows(ledger, **parameters)}
    with session.transaction():
        ended = session.rows(update, **parameters)
        for row in ended:
            session.execute(
                f"""
                INSERT INTO job_attempts ({ATTEMPT_COLUMNS})
                VALUES (%(token)s, %(job_id)s, %(attempt)s, %(worker_id)s, %(outcome)s, %(claimed_at)s,
                        {session.dialect.now}, %(error)s)
                """,
                **row._asdict(),
                outcome=parameters["outcome"],
                error=parameters["error"],
            )
    return {row.token for row in ended}


def pairs_of(dialect: Dialect) -> str:
    """A table `pair (id, token)` made of the parameters of `pair_parameters`."""
    if dialect.name == "postgresql":
        return "unnest(%(ids)s::bigint[], %(tokens)s::bigint[]) AS pair (id, token)"
    return "(SELECT value ->> 0 AS id, value ->> 1 AS token FROM json_each(%(pairs)s)) AS pair"


def pair_parameters(dialect: Dialect, pairs: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Job ids and claim tokens, in the order of ids, so that statements lock rows in one order."""
    ordered = sorted(pairs)
    if dialect.name == "postgresql":
        return {"ids": [job_id for job_id, _ in ordered], "tokens": [token for _, token in ordered]}
    return {"pairs": json.dumps(ordered)}


def to_job(dialect: Dialect, row: Any) -> Job:
    """A row with the columns `COLUMNS`, in that order."""
    if dialect.name == "postgresql":  # the driver decoded times and JSON
        return Job(*row[:16])
    at = dialect.to_datetime
    return Job(
        *(row.id, row.kind, json.loads(row.payload), row.state, row.priority, row.dedupe_key),
        *(
            at(row.run_at),
            row.attempt,
            row.max_attempts,
            at(row.created_at),
            at(row.finished_at),
            row.last_error,
        ),
        *(row.claim_token, row.worker_id, at(row.claimed_at), at(row.claim_expires_at)),
    )


def to_claim(dialect: Dialect, row: Any) -> Claim:
    """A row of `claim`."""
    return Claim(row.claim_token, to_job(dialect, row), row.pickup_seconds)


def to_attempt(dialect: Dialect, row: Any) -> Attempt:
    """A row with the columns `ATTEMPT_COLUMNS`."""
    at = dialect.to_datetime
    return Attempt(
        *(row.token, row.job_id, row.attempt, row.worker_id, row.outcome),
        *(at(row.claimed_at), at(row.finished_at), row.error),
    )

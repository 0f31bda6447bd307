"""The queue: the only SQL on jobs, attempts and claim tokens.

Invariants, upheld by these statements alone:
* A claim is drawn under a row lock that others skip, so a job has at most one valid claim; its token is
  greater than that of every earlier claim.
* Whatever ends or prolongs a claim matches id, state and token. A claim that was rescued in between matches
  no row: it is stale, and nothing it did may be committed.
* Every end of a claim writes one row to the ledger in the same statement or transaction; its key is the token.
* Among live jobs of a kind a dedupe key occurs once (unique index).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import peewee

from catalog_server.db import Session
from catalog_server.jobs import statements
from catalog_server.jobs.job import STATES, Attempt, Claim, Job, Outcome, State

CHANNEL = "catalog_jobs"  # NOTIFY payload: the kind of job that became available
MAX_ERROR_CHARACTERS = 2000


class StaleClaim(Exception):
    """The claim is not held any more: it was rescued, or the job was cancelled."""


class Queue:
    """Stateless; every method works in the caller's session, inside its transaction if there is one."""

    def enqueue(
        self,
        session: Session,
        kind: str,
        payload: Mapping[str, Any] | None = None,
        *,
        dedupe_key: str | None = None,
        delay_seconds: float = 0.0,
        priority: int = 0,
        max_attempts: int = 8,
    ) -> tuple[Job, bool]:
        """Adds a job and returns it with True; for a dedupe key that a live job has, that job with False."""
        insert = f"""
            INSERT INTO jobs (kind, payload, state, priority, dedupe_key, run_at, attempt, max_attempts, created_at)
            VALUES (%(kind)s, %(payload)s, 'available', %(priority)s, %(dedupe_key)s,
                    {session.dialect.after("delay_seconds")}, 0, %(max_attempts)s, {session.dialect.now})
            ON CONFLICT (kind, dedupe_key) WHERE state IN ('available', 'running') DO NOTHING
            RETURNING {statements.COLUMNS}
        """
        if session.dialect.name == "postgresql":  # one round trip for both
            insert = f"WITH added AS ({insert}) SELECT added.*, pg_notify('{CHANNEL}', kind) FROM added"
        while True:
            row = session.row(
                insert,
                kind=kind,
                payload=json.dumps(payload or {}),
                priority=priority,
                dedupe_key=dedupe_key,
                delay_seconds=delay_seconds,
                max_attempts=max_attempts,
            )
            if row is not None:
                return statements.to_job(session.dialect, row), True
            live = session.row(
                f"""
                SELECT {statements.COLUMNS} FROM jobs
                WHERE kind = %(kind)s AND dedupe_key = %(dedupe_key)s AND state IN ('available', 'running')
                """,
                kind=kind,
                dedupe_key=dedupe_key,
            )
            if live is not None:  # otherwise it ended between the two statements: insert again
                return statements.to_job(session.dialect, live), False

    def enqueue_many(
        self, session: Session, kind: str, payloads: Sequence[Mapping[str, Any]], *, max_attempts: int = 8
    ) -> int:
        """Adds jobs without dedupe keys in one statement; returns how many."""
        dialect = session.dialect
        source = (
            "unnest(%(payloads)s::jsonb[]) WITH ORDINALITY AS item(value, position)"
            if dialect.name == "postgresql"
            else "(SELECT value, key AS position FROM json_each(%(payloads)s)) AS item"
        )
        added = session.execute(
            f"""
            INSERT INTO jobs (kind, payload, state, priority, run_at, attempt, max_attempts, created_at)
            SELECT %(kind)s, item.value, 'available', 0, {dialect.now}, 0, %(max_attempts)s, {dialect.now}
            FROM {source} ORDER BY item.position
            """,
            kind=kind,
            payloads=dialect.array([json.dumps(payload) for payload in payloads]),
            max_attempts=max_attempts,
        )
        self._notify(session, kind)
        return added

    def claim(
        self, session: Session, kinds: Sequence[str], *, worker_id: str, limit: int, lease_seconds: float
    ) -> list[Claim]:
        """Up to `limit` jobs that may run now, most urgent first, each under a new token."""
        claimed = statements.claim(
            session,
            {
                "kinds": session.dialect.array(kinds),
                "worker_id": worker_id,
                "limit": limit,
                "lease_seconds": lease_seconds,
            },
        )
        claims = [statements.to_claim(session.dialect, row) for row in claimed]
        return sorted(claims, key=lambda claim: (claim.job.priority, claim.job.run_at, claim.job.id))

    def heartbeat(self, session: Session, claims: Sequence[Claim], *, lease_seconds: float) -> set[int]:
        """Prolongs the claims; returns the tokens still held. A missing one was lost for good.

        Rows that are being ended at this moment are passed over: waiting for them could only deadlock.
        """
        parameters = statements.pair_parameters(session.dialect, [(claim.job.id, claim.token) for claim in claims])
        held = f"""
            SELECT jobs.id, jobs.claim_token FROM jobs JOIN {statements.pairs_of(session.dialect)}
            ON jobs.id = pair.id AND jobs.claim_token = pair.token WHERE jobs.state = 'running'
        """
        locked = "FOR UPDATE OF jobs SKIP LOCKED" if session.dialect.name == "postgresql" else ""
        session.execute(
            f"""
            UPDATE jobs SET claim_expires_at = {session.dialect.after("lease_seconds")}
            WHERE id IN (SELECT id FROM ({held} {locked}) AS held)
            """,
            **parameters,
            lease_seconds=lease_seconds,
        )
        return {row.claim_token for row in session.rows(held, **parameters)}

    def complete(self, session: Session, claims: Sequence[Claim]) -> set[int]:
        """Completes the claims that are still held, with their ledger rows; returns their tokens."""
        return self._end(
            session,
            claims,
            outcome="completed",
            assignment=f"state = 'completed', finished_at = {session.dialect.now}",
        )

    def complete_one(self, session: Session, claim: Claim) -> None:
        """Completes one claim within the transaction of its effect; raises `StaleClaim`, which undoes both."""
        if not self.complete(session, [claim]):
            raise StaleClaim(f"claim {claim.token} of job {claim.job.id} is not held any more")

    def completed_among(self, session: Session, claims: Sequence[Claim]) -> set[int]:
        """Tokens of the claims that the ledger has as completed."""
        dialect = session.dialect
        found = session.rows(
            f"SELECT token FROM job_attempts WHERE outcome = 'completed' AND {dialect.any_of('token', 'tokens')}",
            tokens=dialect.array([claim.token for claim in claims]),
        )
        return {row.token for row in found}

    def fail(self, session: Session, claim: Claim, error: str, *, pause_seconds: float) -> State:
        """Ends the attempt: the job runs again after the pause, or is dead after its last attempt.

        Raises `StaleClaim`.
        """
        dead = claim.job.attempt >= claim.job.max_attempts
        assignment = (
            f"state = 'dead', finished_at = {session.dialect.now}"
            if dead
            else f"state = 'available', run_at = {session.dialect.after('pause_seconds')}"
        )
        ended = self._end(
            session,
            [claim],
            outcome="failed",
            assignment=f"{assignment}, last_error = %(error)s",
            error=_storable(error),
            pause_seconds=pause_seconds,
        )
        if not ended:
            raise StaleClaim(f"claim {claim.token} of job {claim.job.id} is not held any more")
        return "dead" if dead else "available"

    def release(self, session: Session, claims: Sequence[Claim]) -> set[int]:
        """Hands claims back unfinished, at once; the attempt is granted again. Returns their tokens."""
        released = self._end(
            session,
            claims,
            outcome="released",
            assignment="state = 'available', max_attempts = max_attempts + 1",
        )
        if released:
            self._notify(session, claims[0].job.kind)
        return released

    def rescue(self, session: Session, *, limit: int = 1000) -> list[int]:
        """Takes back claims that expired: the job runs again, or is dead after its last attempt.

        A job that kills its workers counts attempts all the same, since the claim counted. Returns job ids.
        """
        dialect = session.dialect
        with session.transaction():
            stale = session.rows(
                f"""
                SELECT id, claim_token FROM jobs
                WHERE state = 'running' AND claim_expires_at < {dialect.now}
                ORDER BY claim_expires_at LIMIT %(limit)s {dialect.for_update_skip_locked}
                """,
                limit=limit,
            )
            if not stale:
                return []
            statements.end_claims(
                session,
                [(row.id, row.claim_token) for row in stale],
                outcome="rescued",
                assignment=f"""
                    state = CASE WHEN jobs.attempt >= jobs.max_attempts THEN 'dead' ELSE 'available' END,
                    finished_at = CASE WHEN jobs.attempt >= jobs.max_attempts THEN {dialect.now} END,
                    last_error = %(error)s
                """,
                error="the claim expired: its worker died, was paused, or lost the database",
            )
            self._notify(session, "")
        return [row.id for row in stale]

    def cancel(self, session: Session, job_id: int) -> Job | None:
        """Cancels a live job; one that is running loses its claim, so its effect will not be committed."""
        with session.transaction():
            job = self.get(session, job_id, lock=True)
            if job is None or job.state not in ("available", "running"):
                return None
            if job.state == "running":
                assert job.claim_token is not None
                statements.end_claims(
                    session,
                    [(job.id, job.claim_token)],
                    outcome="cancelled",
                    error=None,
                    assignment=f"state = 'cancelled', finished_at = {session.dialect.now}",
                )
            else:
                session.execute(
                    f"UPDATE jobs SET state = 'cancelled', finished_at = {session.dialect.now} WHERE id = %(id)s",
                    id=job_id,
                )
            return self.get(session, job_id)

    def retry(self, session: Session, job_id: int, *, attempts: int = 8) -> Job | None:
        """Makes a dead or cancelled job available again for `attempts` more attempts.

        Returns None for a job in another state, or whose dedupe key a live job has by now.
        """
        try:
            with session.transaction():
                retried = session.execute(
                    f"""
                    UPDATE jobs SET state = 'available', max_attempts = attempt + %(attempts)s,
                        run_at = {session.dialect.now}, finished_at = NULL
                    WHERE id = %(id)s AND state IN ('dead', 'cancelled')
                    """,
                    id=job_id,
                    attempts=attempts,
                )
                job = self.get(session, job_id) if retried else None
                if job is not None:
                    self._notify(session, job.kind)
                return job
        except peewee.IntegrityError:  # the unique index on live jobs' dedupe keys
            return None

    def get(self, session: Session, job_id: int, *, lock: bool = False) -> Job | None:
        """One job by id."""
        suffix = "FOR UPDATE" if lock and session.dialect.name == "postgresql" else ""
        row = session.row(f"SELECT {statements.COLUMNS} FROM jobs WHERE id = %(id)s {suffix}", id=job_id)
        return statements.to_job(session.dialect, row) if row else None

    def page(
        self,
        session: Session,
        *,
        state: State | None = None,
        kind: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Job]:
        """Newest first; `before_id` goes on after an earlier page."""
        conditions = ["1 = 1"]
        conditions += ["state = %(state)s"] if state else []
        conditions += ["kind = %(kind)s"] if kind else []
        conditions += ["id < %(before_id)s"] if before_id else []
        found = session.rows(
            f"SELECT {statements.COLUMNS} FROM jobs WHERE {' AND '.join(conditions)} ORDER BY id DESC LIMIT %(limit)s",
            state=state,
            kind=kind,
            before_id=before_id,
            limit=limit,
        )
        return [statements.to_job(session.dialect, row) for row in found]

    def attempts(self, session: Session, job_id: int) -> list[Attempt]:
        """The execution history of a job, oldest first."""
        found = session.rows(
            f"SELECT {statements.ATTEMPT_COLUMNS} FROM job_attempts WHERE job_id = %(job_id)s ORDER BY token",
            job_id=job_id,
        )
        return [statements.to_attempt(session.dialect, row) for row in found]

    def counts(self, session: Session) -> dict[str, int]:
        """Number of jobs in every state."""
        found = session.rows("SELECT state, count(*) AS number FROM jobs GROUP BY state")
        return dict.fromkeys(STATES, 0) | {row.state: row.number for row in found}

    def purge(self, session: Session, *, retention_seconds: float) -> int:
        """Removes finished jobs older than the retention; returns how many."""
        return session.execute(
            f"""
            DELETE FROM jobs WHERE state IN ('completed', 'dead', 'cancelled')
            AND finished_at < {session.dialect.after("since")}
            """,
            since=-retention_seconds,
        )

    def purge_ledger(self, session: Session, *, retention_seconds: float) -> int:
        """Removes ledger rows older than the retention; returns how many."""
        return session.execute(
            f"DELETE FROM job_attempts WHERE finished_at < {session.dialect.after('since')}",
            since=-retention_seconds,
        )

    def _end(
        self,
        session: Session,
        claims: Sequence[Claim],
        *,
        outcome: Outcome,
        assignment: str,
        error: str | None = None,
        **parameters: Any,
    ) -> set[int]:
        pairs = [(claim.job.id, claim.token) for claim in claims]
        return statements.end_claims(session, pairs, assignment=assignment, outcome=outcome, error=error, **parameters)

    def _notify(self, session: Session, kind: str) -> None:
        if session.dialect.name == "postgresql":
            session.execute("SELECT pg_notify(%(channel)s, %(kind)s)", channel=CHANNEL, kind=kind)


def _storable(text: str) -> str:
    """As much of an error as is kept, without what no database stores: NUL, surrogates."""
    return text[:MAX_ERROR_CHARACTERS].replace("\0", "?").encode(errors="replace").decode()

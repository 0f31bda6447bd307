"""The queue against a model of it, under any order of its operations, on both database systems.

The model says which claims are valid. Whatever is done with a claim that is not must be refused and change
nothing. After every step the tables must agree with the model.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule
from hypothesis.stateful import run_state_machine_as_test as check

from catalog_server.db import Database, Session
from catalog_server.jobs import Claim, Queue, StaleClaim

KINDS = ("a", "b")
MAX_ATTEMPTS = 2
queue = Queue()


class ModelJob:
    def __init__(self, kind: str, dedupe_key: str | None) -> None:
        self.kind = kind
        self.dedupe_key = dedupe_key
        self.state = "available"
        self.attempt = 0
        self.max_attempts = MAX_ATTEMPTS
        self.claim: int | None = None
        self.is_expired = False

    @property
    def is_live(self) -> bool:
        return self.state in ("available", "running")


class QueueMachine(RuleBasedStateMachine):
    """`session` is set by the test."""

    session: Session
    claims = Bundle("claims")

    @initialize()
    def empty(self) -> None:
        self.session.execute("DELETE FROM jobs")
        self.session.execute("DELETE FROM job_attempts")
        self.jobs: dict[int, ModelJob] = {}
        self.ledger: dict[int, tuple[int, str]] = {}
        self.latest_token = 0
        self.effects: set[int] = set()  # tokens of the claims whose effect was committed

    @rule(kind=st.sampled_from(KINDS), key=st.sampled_from([None, "x", "y"]))
    def enqueue(self, kind: str, key: str | None) -> None:
        live = [
            job_id
            for job_id, job in self.jobs.items()
            if job.is_live and key is not None and (job.kind, job.dedupe_key) == (kind, key)
        ]
        job, is_new = queue.enqueue(self.session, kind, dedupe_key=key, max_attempts=MAX_ATTEMPTS)
        assert is_new == (not live)
        if is_new:
            assert job.id not in self.jobs
            self.jobs[job.id] = ModelJob(kind, key)
        else:
            assert [job.id] == live

    @rule(kind=st.sampled_from(KINDS), number=st.integers(1, 3))
    def enqueue_many(self, kind: str, number: int) -> None:
        assert queue.enqueue_many(self.session, kind, [{}] * number, max_attempts=MAX_ATTEMPTS) == number
        added = queue.page(self.session, limit=number)
        self.jobs |= {job.id: ModelJob(kind, None) for job in added}

    @rule(target=claims, kinds=st.sets(st.sampled_from(KINDS), min_size=1), limit=st.integers(1, 4))
    def claim(self, kinds: set[str], limit: int) -> Any:
        possible = {job_id for job_id, job in self.jobs.items() if job.state == "available" and job.kind in kinds}
        drawn = queue.claim(self.session, sorted(kinds), worker_id="w", limit=limit, lease_seconds=3600)
        assert len(drawn) == min(limit, len(possible))
        assert {claim.job.id for claim in drawn} <= possible
        before = self.latest_token
        for claim in drawn:
            assert claim.token > before, "tokens only grow"
            self.latest_token = max(self.latest_token, claim.token)
            job = self.jobs[claim.job.id]
            job.state, job.claim, job.is_expired = "running", claim.token, False
            job.attempt += 1
            assert claim.job.attempt == job.attempt
        assert len({claim.token for claim in drawn}) == len(drawn)
        return multiple(*drawn)

    @rule(claim=claims)
    def expire(self, claim: Claim) -> None:
        """Time passes for one claim."""
        if self.is_valid(claim):
            self.session.execute(
                f"UPDATE jobs SET claim_expires_at = {self.session.dialect.after('since')} WHERE id = %(id)s",
                id=claim.job.id,
                since=-1,
            )
            self.jobs[claim.job.id].is_expired = True

    @rule(target=claims, claim=claims)
    def take_over(self, claim: Claim) -> Any:
        """A claim is rescued and its job claimed again at once: chance alone would rarely do so."""
        self.expire(claim)
        self.rescue()
        return self.claim({claim.job.kind}, limit=1)

    @rule(some=st.lists(claims, max_size=4, unique_by=lambda claim: claim.token))
    def heartbeat(self, some: list[Claim]) -> None:
        """A heartbeat that comes late, but before the rescue, still prolongs."""
        held = queue.heartbeat(self.session, some, lease_seconds=3600)
        assert held == {claim.token for claim in some if self.is_valid(claim)}
        for claim in some:
            if claim.token in held:
                self.jobs[claim.job.id].is_expired = False

    @rule(some=st.lists(claims, max_size=4, unique_by=lambda claim: claim.token))
    def complete(self, some: list[Claim]) -> None:
        valid = {claim.token for claim in some if self.is_valid(claim)}
        assert queue.complete(self.session, some) == valid
        assert queue.completed_among(self.session, some) >= valid
        for claim in some:
            if claim.token in valid:
                self.end(claim, "completed", "completed")

    @rule(claim=claims)
    def complete_with_an_effect(self, claim: Claim) -> None:
        valid = self.is_valid(claim)
        try:
            with self.session.transaction():
                self.session.execute(
                    "UPDATE jobs SET last_error = %(effect)s WHERE id = %(id)s",
                    effect=f"effect of {claim.token}",
                    id=claim.job.id,
                )
                queue.complete_one(self.session, claim)
        except StaleClaim:
            assert not valid
        else:
            assert valid
            self.effects.add(claim.token)
            self.end(claim, "completed", "completed")
        job = queue.get(self.session, claim.job.id)
        assert job is not None
        assert (job.last_error == f"effect of {claim.token}") == (claim.token in self.effects)

    @rule(claim=consumes(claims))
    def fail(self, claim: Claim) -> None:
        valid = self.is_valid(claim)
        try:
            state = queue.fail(self.session, claim, "boom", pause_seconds=0)
        except StaleClaim:
            assert not valid
            return
        assert valid
        job = self.jobs[claim.job.id]
        assert state == ("dead" if job.attempt >= job.max_attempts else "available")
        self.end(claim, "failed", state)

    @rule(claim=claims)
    def release(self, claim: Claim) -> None:
        valid = self.is_valid(claim)
        assert queue.release(self.session, [claim]) == ({claim.token} if valid else set())
        if valid:
            self.end(claim, "released", "available")
            self.jobs[claim.job.id].max_attempts += 1

    @rule()
    def rescue(self) -> None:
        expired = {job_id for job_id, job in self.jobs.items() if job.state == "running" and job.is_expired}
        assert set(queue.rescue(self.session)) == expired
        for job_id in expired:
            job = self.jobs[job_id]
            assert job.claim is not None
            self.ledger[job.claim] = (job_id, "rescued")
            job.state = "dead" if job.attempt >= job.max_attempts else "available"
            job.claim = None

    @rule(claim=claims)
    def cancel(self, claim: Claim) -> None:
        job = self.jobs[claim.job.id]
        cancelled = queue.cancel(self.session, claim.job.id)
        assert (cancelled is not None) == job.is_live
        if job.state == "running":
            assert job.claim is not None
            self.ledger[job.claim] = (claim.job.id, "cancelled")
        if job.is_live:
            job.state, job.claim = "cancelled", None

    @rule(claim=claims)
    def retry(self, claim: Claim) -> None:
        job = self.jobs[claim.job.id]
        key_taken = job.dedupe_key is not None and any(
            other.is_live and (other.kind, other.dedupe_key) == (job.kind, job.dedupe_key)
            for other in self.jobs.values()
        )
        may = job.state in ("dead", "cancelled") and not key_taken
        assert (queue.retry(self.session, claim.job.id, attempts=2) is not None) == may
        if may:
            job.state, job.max_attempts = "available", job.attempt + 2

    @invariant()
    def the_tables_agree_with_the_model(self) -> None:
        if not hasattr(self, "jobs"):
            return
        rows = self.session.rows("SELECT id, state, attempt, max_attempts, claim_token, claim_expires_at FROM jobs")
        assert {row.id: (row.state, row.attempt, row.max_attempts) for row in rows} == {
            job_id: (job.state, job.attempt, job.max_attempts) for job_id, job in self.jobs.items()
        }
        held = {row.id: row.claim_token for row in rows if row.claim_expires_at is not None}
        assert held == {job_id: job.claim for job_id, job in self.jobs.items() if job.claim is not None}

    @invariant()
    def the_ledger_has_one_row_for_every_claim_that_ended(self) -> None:
        rows = self.session.rows("SELECT token, job_id, outcome FROM job_attempts")
        assert {row.token: (row.job_id, row.outcome) for row in rows} == getattr(self, "ledger", {})
        completed = [row.job_id for row in rows if row.outcome == "completed"]
        assert len(completed) == len(set(completed)), "a job ends at most once as completed"

    def is_valid(self, claim: Claim) -> bool:
        return self.jobs[claim.job.id].claim == claim.token

    def end(self, claim: Claim, outcome: str, state: str) -> None:
        job = self.jobs[claim.job.id]
        job.state, job.claim = state, None
        self.ledger[claim.token] = (claim.job.id, outcome)


@pytest.fixture
def session(any_database: Database) -> Iterator[Session]:
    with any_database.session(deadline_seconds=170) as session:
        yield session


@pytest.mark.parametrize("end", [queue.complete, queue.release])
def test_an_older_claim_ends_nothing_while_a_newer_one_runs(session: Session, end: Any) -> None:
    job, _ = queue.enqueue(session, "a")
    (older,) = queue.claim(session, ["a"], worker_id="w", limit=1, lease_seconds=-1)
    assert queue.rescue(session) == [job.id]
    (newer,) = queue.claim(session, ["a"], worker_id="w", limit=1, lease_seconds=3600)
    assert end(session, [older]) == set()
    assert queue.heartbeat(session, [older], lease_seconds=3600) == set()
    with pytest.raises(StaleClaim):
        queue.complete_one(session, older)
    with pytest.raises(StaleClaim):
        queue.fail(session, older, "late", pause_seconds=0)
    assert end(session, [newer]) == {newer.token}
    assert [attempt.token for attempt in queue.attempts(session, job.id)] == [older.token, newer.token]


def test_the_queue_keeps_to_its_model(session: Session) -> None:
    machine = type("Machine", (QueueMachine,), {"session": session})
    check(
        machine,
        settings=settings(
            max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

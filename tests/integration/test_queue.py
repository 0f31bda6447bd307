"""What the queue does, one behaviour at a time, on both database systems."""

import asyncio
from collections.abc import Iterator

import pytest

from catalog_server.db import Database, Session
from catalog_server.jobs import Claim, Job, Queue, StaleClaim

queue = Queue()


@pytest.fixture
def session(any_database: Database) -> Iterator[Session]:
    with any_database.session(deadline_seconds=60) as session:
        yield session


def claim(session: Session, *kinds: str, limit: int = 10, worker_id: str = "w") -> list[Claim]:
    return queue.claim(session, kinds or ("a",), worker_id=worker_id, limit=limit, lease_seconds=60)


def expire(session: Session, job_id: int) -> None:
    """Lets the lease of the job's claim pass."""
    session.execute(
        f"UPDATE jobs SET claim_expires_at = {session.dialect.after('seconds')} WHERE id = %(id)s",
        seconds=-1,
        id=job_id,
    )


def stored(session: Session, job: Job) -> Job:
    found = queue.get(session, job.id)
    assert found is not None
    return found


def outcomes(session: Session, job: Job) -> list[str]:
    return [attempt.outcome for attempt in queue.attempts(session, job.id)]


def test_lower_priority_numbers_run_first_and_older_jobs_before_newer(session: Session) -> None:
    late, first, second = (queue.enqueue(session, "a", priority=priority)[0] for priority in (5, 1, 1))
    assert [each.job.id for each in claim(session, limit=2)] == [first.id, second.id]
    assert [each.job.id for each in claim(session, limit=2)] == [late.id]


def test_a_future_job_waits_for_its_time(session: Session) -> None:
    job, _ = queue.enqueue(session, "a", delay_seconds=3600)
    assert claim(session) == []
    session.execute(f"UPDATE jobs SET run_at = {session.dialect.now}")
    (claimed,) = claim(session)
    assert claimed.job.id == job.id
    assert 0 <= claimed.pickup_seconds < 60


def test_jobs_of_unknown_kinds_stay_in_the_queue(session: Session) -> None:
    job, _ = queue.enqueue(session, "unknown")
    assert claim(session, "a", "b") == []
    assert stored(session, job) == job


def test_a_payload_comes_back_as_it_was_put_in(session: Session) -> None:
    payload = {"text": "naïve „Wörter“", "list": [1, None, 2.5], "nested": {"true": True}}
    job, _ = queue.enqueue(session, "a", payload)
    assert job.payload == payload
    assert claim(session)[0].job.payload == payload


def test_many_jobs_are_put_in_and_claimed_in_their_order(session: Session) -> None:
    assert queue.enqueue_many(session, "a", [{"number": number} for number in range(25)]) == 25
    assert queue.enqueue_many(session, "a", []) == 0
    assert [each.job.payload["number"] for each in claim(session, limit=25)] == list(range(25))


def test_a_dedupe_key_that_is_live_returns_the_live_job(session: Session) -> None:
    job, is_new = queue.enqueue(session, "a", {"number": 1}, dedupe_key="key")
    assert is_new
    assert queue.enqueue(session, "a", {"number": 2}, dedupe_key="key") == (job, False)
    (claimed,) = claim(session)
    assert queue.enqueue(session, "a", dedupe_key="key") == (claimed.job, False), "a running job is live"
    assert queue.enqueue(session, "b", dedupe_key="key")[1], "each kind has keys of its own"
    queue.complete_one(session, claimed)
    assert queue.enqueue(session, "a", dedupe_key="key")[1]


def test_a_completion_counts_once_and_keeps_its_ledger_row(session: Session) -> None:
    job, _ = queue.enqueue(session, "a")
    (claimed,) = claim(session, worker_id="one")
    queue.complete_one(session, claimed)
    with pytest.raises(StaleClaim):
        queue.complete_one(session, claimed)
    (attempt,) = queue.attempts(session, job.id)
    assert (attempt.token, attempt.attempt, attempt.worker_id) == (claimed.token, 1, "one")
    assert (attempt.outcome, attempt.error) == ("completed", None)
    assert attempt.claimed_at <= attempt.finished_at
    done = stored(session, job)
    assert (done.state, done.claim_expires_at) == ("completed", None)
    assert done.finished_at is not None


def test_a_stale_claim_changes_nothing_while_another_holds_the_job(session: Session) -> None:
    job, _ = queue.enqueue(session, "a")
    (stale,) = claim(session, worker_id="slow")
    expire(session, job.id)
    assert queue.rescue(session) == [job.id]
    (valid,) = claim(session, worker_id="heir")
    before = stored(session, job)

    def effect_and_completion() -> None:
        with session.transaction():
            queue.enqueue(session, "effect")
            queue.complete_one(session, stale)

    with pytest.raises(StaleClaim):
        effect_and_completion()
    with pytest.raises(StaleClaim):
        queue.fail(session, stale, "boom", pause_seconds=0)
    assert queue.complete(session, [stale]) == set()
    assert queue.release(session, [stale]) == set()
    assert queue.heartbeat(session, [stale], lease_seconds=3600) == set()
    assert stored(session, job) == before
    assert queue.page(session, kind="effect") == []
    assert queue.complete(session, [stale, valid]) == {valid.token}
    assert outcomes(session, job) == ["rescued", "completed"]


def test_an_attempt_that_fails_runs_again_after_its_pause_and_is_dead_after_the_last(session: Session) -> None:
    job, _ = queue.enqueue(session, "a", max_attempts=2)
    assert queue.fail(session, claim(session)[0], "first", pause_seconds=3600) == "available"
    assert claim(session) == [], "it pauses"
    session.execute(f"UPDATE jobs SET run_at = {session.dialect.now}")
    assert queue.fail(session, claim(session)[0], "second", pause_seconds=0) == "dead"
    assert claim(session) == []
    dead = stored(session, job)
    assert (dead.state, dead.attempt, dead.last_error) == ("dead", 2, "second")
    assert [attempt.error for attempt in queue.attempts(session, job.id)] == ["first", "second"]


@pytest.mark.parametrize("error", ["NUL \0 in it", "half a \ud800 character", "long " * 10_000])
def test_any_error_text_can_be_kept(session: Session, error: str) -> None:
    job, _ = queue.enqueue(session, "a")
    queue.fail(session, claim(session)[0], error, pause_seconds=0)
    kept = stored(session, job).last_error
    assert kept is not None
    assert kept[:4] == error[:4]
    assert len(kept) <= 2000


def test_a_dead_letter_runs_again_when_it_is_retried(session: Session) -> None:
    job, _ = queue.enqueue(session, "a", max_attempts=1)
    queue.fail(session, claim(session)[0], "boom", pause_seconds=0)
    retried = queue.retry(session, job.id, attempts=2)
    assert retried is not None
    assert (retried.state, retried.attempt, retried.max_attempts, retried.finished_at) == ("available", 1, 3, None)
    assert queue.retry(session, job.id) is None, "it is live"
    queue.complete_one(session, claim(session)[0])
    assert outcomes(session, job) == ["failed", "completed"]


def test_a_dead_letter_whose_key_is_live_again_is_not_retried(session: Session) -> None:
    dead, _ = queue.enqueue(session, "a", dedupe_key="key", max_attempts=1)
    queue.fail(session, claim(session)[0], "boom", pause_seconds=0)
    live, _ = queue.enqueue(session, "a", dedupe_key="key")
    assert queue.retry(session, dead.id) is None
    assert (stored(session, dead).state, stored(session, live).state) == ("dead", "available")


def test_a_job_that_was_cancelled_while_it_ran_refuses_its_completion(session: Session) -> None:
    job, _ = queue.enqueue(session, "a")
    (claimed,) = claim(session)
    cancelled = queue.cancel(session, job.id)
    assert cancelled is not None
    assert cancelled.state == "cancelled"
    assert queue.heartbeat(session, [claimed], lease_seconds=60) == set()
    with pytest.raises(StaleClaim):
        queue.complete_one(session, claimed)
    with pytest.raises(StaleClaim):
        queue.fail(session, claimed, "boom", pause_seconds=0)
    assert outcomes(session, job) == ["cancelled"]
    assert stored(session, job) == cancelled
    assert queue.cancel(session, job.id) is None


def test_a_released_claim_can_be_drawn_at_once_and_costs_no_attempt(session: Session) -> None:
    job, _ = queue.enqueue(session, "a", max_attempts=2)
    (claimed,) = claim(session)
    assert queue.release(session, [claimed]) == {claimed.token}
    assert queue.release(session, [claimed]) == set()
    (again,) = claim(session)
    assert again.token > claimed.token
    assert queue.fail(session, again, "first", pause_seconds=0) == "available"
    assert queue.fail(session, claim(session)[0], "second", pause_seconds=0) == "dead"
    assert outcomes(session, job) == ["released", "failed", "failed"]


def test_only_expired_claims_are_rescued_and_a_heartbeat_keeps_one(session: Session) -> None:
    queue.enqueue_many(session, "a", [{}, {}, {}])
    kept, silent, fresh = claim(session)
    for each in (kept, silent):
        expire(session, each.job.id)
    assert queue.heartbeat(session, [kept, fresh], lease_seconds=60) == {kept.token, fresh.token}
    assert queue.rescue(session) == [silent.job.id]
    assert queue.heartbeat(session, [kept, silent, fresh], lease_seconds=60) == {kept.token, fresh.token}
    (attempt,) = queue.attempts(session, silent.job.id)
    assert (attempt.token, attempt.outcome) == (silent.token, "rescued")
    assert attempt.error is not None
    assert "expired" in attempt.error


def test_a_job_that_silences_its_workers_is_dead_after_its_last_attempt(session: Session) -> None:
    job, _ = queue.enqueue(session, "a", max_attempts=3)
    for _attempt in range(3):
        assert len(claim(session)) == 1
        expire(session, job.id)
        assert queue.rescue(session) == [job.id]
    assert claim(session) == []
    assert stored(session, job).state == "dead"
    assert outcomes(session, job) == ["rescued"] * 3


def test_pages_go_from_the_newest_to_the_oldest_and_can_be_filtered(session: Session) -> None:
    jobs = [queue.enqueue(session, kind)[0] for kind in ("a", "b", "a", "b", "a")]
    queue.complete(session, claim(session, limit=1))
    newest = [job.id for job in reversed(jobs)]
    first = queue.page(session, limit=3)
    assert [job.id for job in first] == newest[:3]
    assert [job.id for job in queue.page(session, before_id=first[-1].id)] == newest[3:]
    assert [job.id for job in queue.page(session, kind="b")] == [jobs[3].id, jobs[1].id]
    assert [job.id for job in queue.page(session, state="completed", kind="a")] == [jobs[0].id]
    assert queue.counts(session) == {"available": 4, "running": 0, "completed": 1, "dead": 0, "cancelled": 0}


def test_purging_removes_what_ended_before_the_retention_and_nothing_live(session: Session) -> None:
    old, running, available = (queue.enqueue(session, "a")[0] for _ in range(3))
    first, _second = claim(session, limit=2)
    queue.complete(session, [first])
    assert queue.purge(session, retention_seconds=3600) == 0
    assert queue.purge_ledger(session, retention_seconds=3600) == 0
    assert queue.purge(session, retention_seconds=-1) == 1
    assert [job.id for job in queue.page(session)] == [available.id, running.id]
    assert len(queue.attempts(session, old.id)) == 1, "the ledger outlives the job"
    assert queue.purge_ledger(session, retention_seconds=-1) == 1
    assert queue.attempts(session, old.id) == []


def test_ids_that_nobody_has_are_told_apart_from_jobs(session: Session) -> None:
    assert queue.get(session, 404) is None
    assert queue.cancel(session, 404) is None
    assert queue.retry(session, 404) is None
    assert queue.attempts(session, 404) == []


async def test_of_many_enqueues_of_one_key_at_once_one_adds_a_job(any_database: Database) -> None:
    results = await asyncio.gather(
        *(any_database.run(lambda session: queue.enqueue(session, "a", dedupe_key="key")) for _ in range(40))
    )
    assert [is_new for _, is_new in results].count(True) == 1
    assert len({job.id for job, _ in results}) == 1


async def test_claims_drawn_at_once_share_no_job_and_no_token(any_database: Database) -> None:
    await any_database.run(lambda session: queue.enqueue_many(session, "a", [{}] * 400))
    batches = await asyncio.gather(*(any_database.run(lambda session: claim(session, limit=10)) for _ in range(40)))
    claims = [each for batch in batches for each in batch]
    assert len(claims) == len({each.job.id for each in claims}) == len({each.token for each in claims}) == 400


def test_a_claim_does_not_wait_for_jobs_that_another_is_claiming(database: Database, dsn: str) -> None:
    """On PostgreSQL; on SQLite it waits for the file lock."""
    other = Database(dsn, purpose="test", size=1, deadline_seconds=5, connect_timeout_seconds=5)
    with database.session(deadline_seconds=60) as session, other.session() as others:
        queue.enqueue_many(session, "a", [{}] * 4)
        with session.transaction():
            first = claim(session, limit=2)
            second = claim(others, limit=4)
    other.close_this_thread()
    other.close()
    assert len(first) == len(second) == 2
    assert len({each.job.id for each in first + second}) == 4

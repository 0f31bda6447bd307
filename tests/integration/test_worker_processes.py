"""Worker processes that are killed, paused, cut off and stopped: every effect once, no job lost."""

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from catalog_server.db import Database, Session
from catalog_server.jobs import Queue
from integration.worker_process import EFFECTS, WorkerProcess
from support.postgres import wait_until

JOBS = 5_000
StartWorker = Callable[..., WorkerProcess]
queue = Queue()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.session(deadline_seconds=170) as session:
        session.execute(EFFECTS)
        yield session


@pytest.fixture
def start_worker(dsn: str, tmp_path: Path) -> Iterator[StartWorker]:
    started: list[WorkerProcess] = []

    def start(identity: str, **settings: object) -> WorkerProcess:
        started.append(WorkerProcess(dsn, identity, tmp_path, **settings))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


def assert_every_effect_once(session: Session, jobs: int) -> None:
    """From the ledger: each job completed once, under the claim whose effect is there; claims never overlapped."""
    assert queue.counts(session)["completed"] == jobs
    ledger = session.rows("SELECT * FROM job_attempts ORDER BY job_id, token")
    completed = [(row.job_id, row.token) for row in ledger if row.outcome == "completed"]
    effects = [(row.job_id, row.token) for row in session.rows("SELECT job_id, token FROM effects")]
    assert Counter(effects) == Counter(completed)
    assert len({job_id for job_id, _ in completed}) == len(completed) == jobs
    for earlier, later in pairwise(ledger):
        if earlier.job_id == later.job_id:
            assert earlier.finished_at <= later.claimed_at, (earlier, later)
            assert earlier.attempt + 1 == later.attempt, (earlier, later)
            assert earlier.outcome != "completed", (earlier, later)


def outcomes(session: Session) -> Counter[str]:
    return Counter(row.outcome for row in session.rows("SELECT outcome FROM job_attempts"))


def running_under(session: Session, identity: str) -> int:
    return int(
        session.scalar("SELECT count(*) FROM jobs WHERE state = 'running' AND worker_id = %(id)s", id=identity) or 0
    )


def test_5000_jobs_under_random_kills_have_each_effect_exactly_once(
    session: Session, start_worker: StartWorker
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    queue.enqueue_many(session, "append", [{"seconds": dice.random() * 0.02} for _ in range(JOBS)], max_attempts=50)
    workers = {identity: start_worker(identity) for identity in ("w0", "w1", "w2")}
    kills = 0

    def all_done() -> bool:
        return queue.counts(session)["completed"] == JOBS

    while not all_done():
        progress = queue.counts(session)["completed"] + dice.randrange(50, 500)
        wait_until(
            lambda target=progress: all_done() or queue.counts(session)["completed"] >= target,
            seconds=60,
            what=f"progress to {progress} jobs",
        )
        holders = [identity for identity in workers if running_under(session, identity)]
        if holders and not all_done():
            victim = dice.choice(holders)
            workers.pop(victim).kill()
            kills += 1
            identity = f"w{kills + 2}"
            workers[identity] = start_worker(identity)
    ended = outcomes(session)
    print(f"{kills} kills, ledger {dict(ended)}")
    assert kills >= 5
    assert ended["rescued"] > 0, "no kill hit a claim"
    assert_every_effect_once(session, JOBS)


def test_the_claims_of_a_killed_worker_run_again(session: Session, start_worker: StartWorker) -> None:
    victim = start_worker("victim", concurrency=1)
    queue.enqueue(session, "append", {"seconds": 0.6})
    wait_until(lambda: running_under(session, "victim"), what="the claim")
    victim.kill()
    start_worker("heir")
    wait_until(lambda: queue.counts(session)["completed"] == 1, what="the job's completion")
    assert outcomes(session) == {"rescued": 1, "completed": 1}
    assert_every_effect_once(session, 1)


def test_a_job_that_kills_its_workers_ends_as_a_dead_letter(session: Session, start_worker: StartWorker) -> None:
    job, _ = queue.enqueue(session, "kill", max_attempts=3)
    for attempt in range(3):
        start_worker(f"w{attempt}").process.wait(timeout=30)
    start_worker("rescuer")
    wait_until(lambda: queue.counts(session)["dead"] == 1, what="the dead letter")
    assert [attempt.outcome for attempt in queue.attempts(session, job.id)] == ["rescued"] * 3


@pytest.mark.parametrize("notices_by", ["heartbeat", "completion"])
def test_a_worker_paused_past_its_lease_has_its_effect_refused(
    session: Session, start_worker: StartWorker, notices_by: str
) -> None:
    beat = {"heartbeat_seconds": 0.25 if notices_by == "heartbeat" else 3600}
    seconds = 5.0 if notices_by == "heartbeat" else 0.5
    paused = start_worker("paused", rescue_seconds=3600, **beat)
    job, _ = queue.enqueue(session, "append", {"seconds": seconds})
    wait_until(lambda: running_under(session, "paused"), what="the claim")
    paused.signal(signal.SIGSTOP)
    wait_until(lambda: queue.rescue(session) == [job.id], what="the rescue")
    session.execute("UPDATE jobs SET payload = '{}'")
    start_worker("heir")
    wait_until(lambda: queue.counts(session)["completed"] == 1, what="the heir's completion")
    paused.signal(signal.SIGCONT)
    wait_until(lambda: f"a {notices_by} was refused" in paused.log, what="the refusal")
    assert [attempt.worker_id for attempt in queue.attempts(session, job.id)] == ["paused", "heir"]
    assert_every_effect_once(session, 1)


@pytest.mark.parametrize("heir_is", ["running", "done"])
def test_an_effect_written_under_a_stale_claim_is_rolled_back(
    session: Session, start_worker: StartWorker, heir_is: str
) -> None:
    slow_gate, heir_gate = 7, 8
    session.execute("SELECT pg_advisory_lock(7), pg_advisory_lock(8)")
    start_worker("slow", concurrency=1, heartbeat_seconds=3600, rescue_seconds=3600, listen=False)
    job, _ = queue.enqueue(session, "append", {"gate": slow_gate, "gated_worker": "slow"})
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %(gate)s"
    wait_until(lambda: session.scalar(waiting, gate=slow_gate), what="the wait between effect and completion")
    wait_until(lambda: queue.rescue(session) == [job.id], what="the rescue")
    if heir_is == "running":
        session.execute(
            "UPDATE jobs SET payload = %(payload)s::jsonb", payload=f'{{"gate": {heir_gate}, "gated_worker": "heir"}}'
        )
    start_worker("heir")
    if heir_is == "running":
        wait_until(lambda: session.scalar(waiting, gate=heir_gate), what="the heir's effect")
    else:
        wait_until(lambda: queue.counts(session)["completed"] == 1, what="the heir's completion")
    session.execute("SELECT pg_advisory_unlock(7)")
    wait_until(
        lambda: not session.scalar("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 7"),
        what="the end of the slow worker's transaction",
    )
    session.execute("SELECT pg_advisory_unlock(8)")
    wait_until(lambda: queue.counts(session)["completed"] == 1, what="the heir's completion")
    assert_every_effect_once(session, 1)
    assert session.scalar("SELECT worker_id FROM effects") == "heir"


def test_jobs_survive_the_loss_of_every_connection(session: Session, start_worker: StartWorker) -> None:
    queue.enqueue_many(session, "append", [{"seconds": 0.01}] * 600, max_attempts=50)
    queue.enqueue_many(session, "nothing", [{}] * 600, max_attempts=50)
    workers = [start_worker("w0"), start_worker("w1")]
    for done in (100, 400, 700):
        wait_until(lambda target=done: queue.counts(session)["completed"] >= target, what=f"{done} jobs")
        session.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    wait_until(lambda: queue.counts(session)["completed"] == 1200, seconds=60, what="all jobs")
    assert all(worker.process.poll() is None for worker in workers)
    session.execute("DELETE FROM job_attempts USING jobs WHERE jobs.id = job_id AND kind = 'nothing'")
    session.execute("DELETE FROM jobs WHERE kind = 'nothing'")
    assert_every_effect_once(session, 600)


def test_a_worker_that_stops_hands_its_claims_back_at_once(session: Session, start_worker: StartWorker) -> None:
    stopping = start_worker("stopping", concurrency=2, claim_lease_seconds=3600, heartbeat_seconds=1000)
    queue.enqueue_many(session, "append", [{"seconds": 3600}] * 5)
    wait_until(lambda: running_under(session, "stopping") == 2, what="the claims")
    stopping.signal(signal.SIGTERM)
    assert stopping.process.wait(timeout=20) == 0
    assert queue.counts(session) == {"available": 5, "running": 0, "completed": 0, "dead": 0, "cancelled": 0}
    assert outcomes(session) == {"released": 2}
    assert session.scalar("SELECT min(max_attempts - attempt) FROM jobs") == 8, "a release takes no attempt away"


def test_an_idle_worker_is_woken_by_the_enqueue_not_by_its_poll(session: Session, start_worker: StartWorker) -> None:
    start_worker("idle", poll_seconds=3600)
    wait_until(
        lambda: session.scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
        ),
        what="LISTEN",
    )
    for number in range(1, 4):
        queue.enqueue(session, "append")
        wait_until(lambda target=number: queue.counts(session)["completed"] == target, what="the completion")


def test_kinds_without_a_handler_stay_in_the_queue(session: Session, start_worker: StartWorker) -> None:
    unknown, _ = queue.enqueue(session, "unknown", priority=-1)
    start_worker("worker")
    queue.enqueue(session, "append")
    wait_until(lambda: queue.counts(session)["completed"] == 1, what="the known job")
    job = queue.get(session, unknown.id)
    assert job is not None
    assert (job.state, job.attempt) == ("available", 0)

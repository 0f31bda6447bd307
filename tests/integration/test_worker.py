"""A worker in this process, with handlers, databases and queues that misbehave; and a frozen database."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import peewee
import pytest

from catalog_server.db import Database, DatabaseUnavailable, Session
from catalog_server.jobs import Claim, Effect, Job, Listener, Queue, Rescuer, RetryPolicy, Worker
from catalog_server.migrations import upgrade_to_head
from catalog_server.observability import metrics
from integration.test_worker_processes import assert_every_effect_once
from integration.worker_process import EFFECTS, WorkerProcess
from support.postgres import PostgresServer, wait_until

T = TypeVar("T")
BOUND_SECONDS = 30
Run = Callable[[Job], Awaitable[Effect | None]]


class Calls:
    """A handler that does what a function does."""

    kind = "a"

    def __init__(self, function: Run) -> None:
        self._function = function

    async def run(self, job: Job) -> Effect | None:
        return await self._function(job)


class LosesAnswers(Database):
    """The first transaction commits, and its answer does not arrive."""

    answers_to_lose = 1

    async def transaction(self, work: Callable[[Session], T], *, deadline_seconds: float | None = None) -> T:
        result = await super().transaction(work, deadline_seconds=deadline_seconds)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise DatabaseUnavailable("the answer was lost")
        return result


class Stumbles(Queue):
    """The first completion of a batch raises, after or before it took effect."""

    def __init__(self, error: Exception, *, took_effect: bool) -> None:
        self._errors = [error]
        self._took_effect = took_effect

    def complete(self, session: Session, claims: Sequence[Claim]) -> set[int]:
        tokens = super().complete(session, claims) if self._took_effect or not self._errors else set()
        if self._errors:
            raise self._errors.pop()
        return tokens


def append(job: Job) -> Effect:
    def effect(session: Session) -> None:
        session.execute("INSERT INTO effects VALUES (%(job)s, %(token)s, 'w')", job=job.id, token=job.claim_token)

    return effect


@pytest.fixture
def pool(any_dsn: str) -> Iterator[Callable[..., Any]]:
    made: list[Database] = []

    def make(kind: type[Database] = Database) -> Database:
        made.append(kind(any_dsn, purpose="test", size=2, deadline_seconds=10, connect_timeout_seconds=5))
        return made[-1]

    yield make
    for database in made:
        database.close()


@pytest.fixture
def session(any_database: Database) -> Iterator[Session]:
    with any_database.session(deadline_seconds=170) as session:
        session.execute(EFFECTS)
        yield session


@asynccontextmanager
async def worker(
    database: Database, heartbeat: Database, function: Run, queue: Queue | None = None, **settings: Any
) -> AsyncIterator[Worker]:
    """Short leases, a rescuer beside it; stopped at the end, which must not take long."""
    queue = queue or Queue()
    timing = {"claim_lease_seconds": 1.5, "heartbeat_seconds": 0.2, "poll_seconds": 0.05}
    made = Worker(
        database=database,
        heartbeat_database=heartbeat,
        queue=queue,
        handlers=[Calls(function)],
        identity="w",
        retry=RetryPolicy(0.01, 0.01),
        **({"concurrency": 4, "batch_size": 10} | timing | settings),
    )
    rescuer = asyncio.create_task(Rescuer(database=heartbeat, queue=queue, interval_seconds=0.1).run())
    await made.start()
    yield made
    async with asyncio.timeout(BOUND_SECONDS):
        await made.stop(grace_seconds=0)
    rescuer.cancel()


async def until(database: Database, state: str, number: int) -> None:
    """Waits until so many jobs are in the state."""
    async with asyncio.timeout(BOUND_SECONDS):
        while (await database.run(Queue().counts))[state] < number:  # noqa: ASYNC110 - the database has no event
            await asyncio.sleep(0.02)


def outcomes(session: Session, job: Job) -> list[str]:
    return [attempt.outcome for attempt in Queue().attempts(session, job.id)]


async def test_a_completion_whose_answer_was_lost_is_recognised(session: Session, pool: Callable[..., Any]) -> None:
    job, _ = Queue().enqueue(session, "a")
    stale = metrics.STALE_CLAIMS.labels("completion")._value.get()
    done = metrics.JOBS_FINISHED.labels("a", "completed")._value.get()

    async def run(job: Job) -> Effect:
        return append(job)

    database = pool(LosesAnswers)
    async with worker(database, pool(), run) as made:
        async with asyncio.timeout(BOUND_SECONDS):
            while metrics.JOBS_FINISHED.labels("a", "completed")._value.get() == done:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert not made._held
    assert database.answers_to_lose == 0
    assert metrics.STALE_CLAIMS.labels("completion")._value.get() == stale
    assert outcomes(session, job) == ["completed"]
    assert session.scalar("SELECT count(*) FROM effects") == 1


@pytest.mark.parametrize(
    ("error", "took_effect", "expected"),
    [
        (DatabaseUnavailable("the answer was lost"), True, ["completed"]),
        (DatabaseUnavailable("the call was lost"), False, ["completed"]),
        (peewee.OperationalError("disk full"), False, ["rescued", "completed"]),
    ],
    ids=["answer-lost", "call-lost", "refused"],
)
async def test_a_batch_of_completions_that_went_wrong_is_made_good(
    session: Session, pool: Callable[..., Any], error: Exception, took_effect: bool, expected: list[str]
) -> None:
    job, _ = Queue().enqueue(session, "a")

    async def run(_job: Job) -> None:
        return None

    database = pool()
    async with worker(database, pool(), run, Stumbles(error, took_effect=took_effect)):
        await until(database, "completed", 1)
        another, _ = Queue().enqueue(session, "a")
        await until(database, "completed", 2)
    assert outcomes(session, job) == expected
    assert outcomes(session, another) == ["completed"]


@pytest.mark.parametrize(
    "error",
    [ValueError("boom"), ValueError("NUL \0 in it"), asyncio.CancelledError("within the handler")],
    ids=["error", "nul", "cancelled"],
)
async def test_whatever_a_handler_raises_fails_its_attempt_and_nothing_else(
    session: Session, pool: Callable[..., Any], error: BaseException
) -> None:
    job, _ = Queue().enqueue(session, "a", max_attempts=2)

    async def run(running: Job) -> Effect:
        if running.id == job.id:
            raise error
        return append(running)

    database = pool()
    async with worker(database, pool(), run, concurrency=1):
        await until(database, "dead", 1)
        Queue().enqueue(session, "a")
        await until(database, "completed", 1)
    assert outcomes(session, job) == ["failed", "failed"]


async def test_an_effect_that_fails_is_rolled_back_and_fails_its_attempt(
    session: Session, pool: Callable[..., Any]
) -> None:
    job, _ = Queue().enqueue(session, "a", max_attempts=2)

    async def run(running: Job) -> Effect:
        def effect(inner: Session) -> None:
            append(running)(inner)
            if running.attempt == 1:
                inner.execute("INSERT INTO no_such_table VALUES (1)")

        return effect

    database = pool()
    async with worker(database, pool(), run):
        await until(database, "completed", 1)
    assert outcomes(session, job) == ["failed", "completed"]
    assert session.scalar("SELECT count(*) FROM effects") == 1


async def test_an_idle_runner_takes_a_job_while_the_others_are_busy(session: Session, pool: Callable[..., Any]) -> None:
    Queue().enqueue_many(session, "a", [{"waits": True}] * 3)
    release = asyncio.Event()
    waiting = asyncio.Semaphore(0)

    async def run(job: Job) -> None:
        if job.payload.get("waits"):
            waiting.release()
            await release.wait()

    database = pool()
    async with worker(database, pool(), run, concurrency=4):
        async with asyncio.timeout(BOUND_SECONDS):
            for _ in range(3):
                await waiting.acquire()
        Queue().enqueue(session, "a")
        await until(database, "completed", 1)
        assert Queue().counts(session)["running"] == 3
        release.set()
        await until(database, "completed", 4)


async def test_a_cancelled_job_is_stopped_even_if_its_handler_disguises_it(
    session: Session, pool: Callable[..., Any]
) -> None:
    job, _ = Queue().enqueue(session, "a", {"waits": True})
    started = asyncio.Event()
    stopped = asyncio.Event()

    async def run(running: Job) -> Effect:
        if running.payload.get("waits"):
            started.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                stopped.set()
                raise ValueError("disguised") from None
        return append(running)

    database = pool()
    async with worker(database, pool(), run, concurrency=1):
        async with asyncio.timeout(BOUND_SECONDS):
            await started.wait()
            assert Queue().cancel(session, job.id) is not None
            await stopped.wait()
        Queue().enqueue(session, "a")
        await until(database, "completed", 1)
    assert outcomes(session, job) == ["cancelled"]


@pytest.fixture
def freezable() -> Iterator[PostgresServer]:
    """A PostgreSQL of the test's own, to be paused."""
    server = PostgresServer()
    yield server
    server.stop()


def noticed(worker_process: WorkerProcess) -> bool:
    """That the database does not answer: by what it asks of it with claims in its hands, or with none."""
    return "no heartbeat" in worker_process.log or "no jobs could be claimed" in worker_process.log


def test_workers_recover_from_a_frozen_database_with_each_effect_once(
    freezable: PostgresServer, tmp_path: Path
) -> None:
    dsn = freezable.dsn(freezable.create_database())
    upgrade_to_head(dsn)
    database = Database(dsn, purpose="test", size=1, deadline_seconds=60, connect_timeout_seconds=5)
    with database.session(deadline_seconds=170) as session:
        session.execute(EFFECTS)
        Queue().enqueue_many(session, "append", [{"seconds": 0.02}] * 300, max_attempts=50)
        workers = [WorkerProcess(dsn, f"w{number}", tmp_path, deadline_seconds=1.0) for number in range(2)]
        try:
            wait_until(lambda: Queue().counts(session)["completed"] >= 50, what="50 jobs")
            freezable.pause()
            for worker_process in workers:
                wait_until(lambda frozen=worker_process: noticed(frozen), what="a call that went without an answer")
            freezable.resume()
            wait_until(lambda: Queue().counts(session)["completed"] == 300, what="all jobs")
            for worker_process in workers:
                assert worker_process.process.poll() is None, worker_process.log
                worker_process.signal(signal.SIGTERM)
                assert worker_process.process.wait(timeout=30) == 0
        finally:
            for worker_process in workers:
                worker_process.kill()
        assert_every_effect_once(session, 300)
    database.close_this_thread()
    database.close()


async def test_a_listener_notices_that_its_database_fell_silent_and_listens_again(
    freezable: PostgresServer, caplog: pytest.LogCaptureFixture
) -> None:
    dsn = freezable.dsn(freezable.create_database())
    await asyncio.to_thread(upgrade_to_head, dsn)
    database = Database(dsn, purpose="test", size=1, deadline_seconds=10, connect_timeout_seconds=5)
    wakes: asyncio.Queue[None] = asyncio.Queue()

    def on_wake() -> None:
        wakes.put_nowait(None)

    listening = asyncio.create_task(Listener(dsn, on_wake=on_wake, check_seconds=1, deadline_seconds=0.5).run())
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            await wakes.get()  # connected
            freezable.pause()
            while "no connection that listens" not in caplog.text:  # noqa: ASYNC110 - the log has no event
                await asyncio.sleep(0.02)
            freezable.resume()
            while not wakes.empty():
                wakes.get_nowait()
            await wakes.get()  # connected again
            await database.run(lambda session: Queue().enqueue(session, "a"))
            await wakes.get()
    finally:
        freezable.resume()
        listening.cancel()
        await asyncio.to_thread(database.close)

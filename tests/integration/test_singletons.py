"""The leader-only loops: what one round does, and that a round of a succeeded leader does nothing."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from catalog_server import probes, replicas
from catalog_server.config import Settings
from catalog_server.db import Database, Session
from catalog_server.jobs import Queue
from catalog_server.leadership import Fence, Fenced, Term
from catalog_server.probes.store import append_effect
from catalog_server.singletons import Loop, run_loops
from catalog_server.singletons.cleanup import Cleanup
from catalog_server.singletons.schedule import Schedule
from catalog_server.singletons.watch_sources import WatchSources

FENCE = Fence("test")
QUEUE = Queue()
MakeLoop = Callable[[Database, Settings], Loop]


def cleanup(database: Database, settings: Settings) -> Loop:
    return Cleanup(database, FENCE, QUEUE, settings)


def schedule(database: Database, settings: Settings) -> Loop:
    return Schedule(database, FENCE, QUEUE, settings)


def watch_sources(database: Database, settings: Settings) -> Loop:
    return WatchSources(database, FENCE, QUEUE, settings)


@pytest.fixture
def settings(any_dsn: str, sources_file: Path) -> Settings:
    return Settings(
        database_dsn=any_dsn,
        sources_file=sources_file,
        jobs_retention_seconds=60,
        ledger_retention_seconds=60,
        replica_retention_seconds=60,
    )


async def begin_term(database: Database, epoch: int) -> Term:
    assert await database.transaction(lambda session: FENCE.raise_to(session, epoch, f"holder-{epoch}"))
    return Term(epoch, f"holder-{epoch}")


async def count(database: Database, table: str) -> int:
    return int(await database.run(lambda session: session.scalar(f"SELECT count(*) FROM {table}")))


def age(session: Session, table: str, column: str) -> None:
    """Makes every row of the table two minutes old."""
    session.execute(f"UPDATE {table} SET {column} = {session.dialect.after('seconds')}", seconds=-120.0)


def old_and_new(session: Session) -> None:
    """One finished job, one ledger row and one replica of two minutes ago, and one of each of now."""
    for is_old in (True, False):
        QUEUE.enqueue(session, "kind")
        (claim,) = QUEUE.claim(session, ["kind"], worker_id="worker", limit=1, lease_seconds=60)
        QUEUE.complete(session, [claim])
        replicas.beat(session, id=f"old={is_old}", name="r", server_version="1", schema_head=1, url=None, ready=True)
        if is_old:
            age(session, "jobs", "finished_at")
            age(session, "job_attempts", "finished_at")
            age(session, "replicas", "last_seen_at")


async def test_cleanup_removes_what_is_past_its_retention_and_nothing_else(
    any_database: Database, settings: Settings
) -> None:
    await any_database.run(old_and_new)
    await cleanup(any_database, settings).tick(await begin_term(any_database, 1))
    assert [await count(any_database, table) for table in ("jobs", "job_attempts", "replicas")] == [1, 1, 1]


async def test_a_changed_sources_file_is_reconciled_and_its_sources_are_queued(
    any_database: Database, settings: Settings, sources_file: Path
) -> None:
    loop = watch_sources(any_database, settings)
    term = await begin_term(any_database, 1)
    await loop.tick(term)
    assert await count(any_database, "catalog_sources") == 1
    assert await count(any_database, "jobs") == 1

    text = sources_file.read_text()
    sources_file.write_text(text.replace("catalogs:", "catalogs: # edited\n  - {id: [broken", 1))
    await loop.tick(term)
    assert await count(any_database, "catalog_sources WHERE status <> 'removed'") == 1, "a broken file changes nothing"

    extra = "  - {id: second, name: Second, type: yaml, properties: {yamlCatalogPath: catalog.yaml}}\n"
    sources_file.write_text(text + extra)
    await loop.tick(term)
    assert await count(any_database, "catalog_sources") == 2
    assert await count(any_database, "jobs") == 2

    sources_file.unlink()
    await loop.tick(term)
    assert await count(any_database, "catalog_sources WHERE status <> 'removed'") == 2, "a missing file changes nothing"


async def test_a_round_that_writes_is_recorded_under_its_epoch_until_its_retention_is_over(
    any_database: Database, settings: Settings
) -> None:
    def rounds(session: Session) -> list[tuple[str, int, str]]:
        rows = session.rows("SELECT loop, epoch, holder FROM singleton_ticks ORDER BY id")
        return [(row.loop, row.epoch, row.holder) for row in rows]

    first = await begin_term(any_database, 1)
    await watch_sources(any_database, settings).tick(first)
    await schedule(any_database, settings).tick(first)
    second = await begin_term(any_database, 2)
    await schedule(any_database, settings).tick(second)
    recorded = [("watch_sources", 1, "holder-1"), ("schedule", 1, "holder-1"), ("schedule", 2, "holder-2")]
    assert await any_database.run(rounds) == recorded

    await any_database.run(lambda session: age(session, "singleton_ticks", "at"))
    await cleanup(any_database, settings).tick(second)
    assert await any_database.run(rounds) == [("cleanup", 2, "holder-2")]


async def test_cleanup_removes_old_probes_with_their_effects(any_database: Database, settings: Settings) -> None:
    def accept_and_run(session: Session, value: str) -> None:
        with session.transaction():
            probes.accept(session, QUEUE, value, max_attempts=1)
            (claim,) = QUEUE.claim(session, ["probe"], worker_id="worker", limit=1, lease_seconds=60)
            append_effect(session, claim.job)
            QUEUE.complete(session, [claim])

    await any_database.run(lambda session: accept_and_run(session, "old"))
    for table, column in (("probes", "created_at"), ("probe_effects", "at")):
        await any_database.run(lambda session, table=table, column=column: age(session, table, column))
    await any_database.run(lambda session: accept_and_run(session, "new"))
    await cleanup(any_database, settings).tick(await begin_term(any_database, 1))
    assert await any_database.run(lambda session: probes.get(session, "old")) is None
    assert [await count(any_database, table) for table in ("probes", "probe_effects")] == [1, 1]


async def test_a_due_source_is_queued_once(any_database: Database, settings: Settings) -> None:
    term = await begin_term(any_database, 1)
    await watch_sources(any_database, settings).tick(term)
    for _ in range(3):
        await schedule(any_database, settings).tick(term)
    assert await count(any_database, "jobs") == 1


@pytest.mark.parametrize("make_loop", [cleanup, schedule, watch_sources])
async def test_a_round_of_a_succeeded_leader_is_refused_and_changes_nothing(
    any_database: Database, settings: Settings, make_loop: MakeLoop
) -> None:
    await any_database.run(old_and_new)
    if make_loop is schedule:  # a source that is due
        await watch_sources(any_database, settings).tick(await begin_term(any_database, 1))
        await any_database.run(lambda session: session.execute("DELETE FROM jobs"))
    stale = await begin_term(any_database, 2)
    await begin_term(any_database, 3)
    tables = ("jobs", "job_attempts", "replicas", "catalog_sources", "singleton_ticks")
    before = [await count(any_database, table) for table in tables]
    with pytest.raises(Fenced):
        await make_loop(any_database, settings).tick(stale)
    assert [await count(any_database, table) for table in tables] == before


class Scripted:
    """A loop whose rounds do what the test says."""

    interval_seconds = 0.001

    def __init__(self, name: str, *rounds: Exception | None) -> None:
        self.name = name
        self._rounds = iter(rounds)
        self.ticks = 0
        self.went_on = asyncio.Event()

    async def tick(self, term: Term) -> None:
        self.ticks += 1
        error = next(self._rounds, None)
        if error is not None:
            raise error
        self.went_on.set()


async def test_a_failed_round_is_followed_by_another_and_stops_no_other_loop() -> None:
    failing, other = Scripted("failing", ValueError("once"), ValueError("twice")), Scripted("other")
    running = asyncio.create_task(run_loops([failing, other], Term(1, "me")))
    async with asyncio.timeout(10):
        await failing.went_on.wait()
        await other.went_on.wait()
    assert failing.ticks >= 3
    running.cancel()


async def test_a_fenced_loop_ends_all_loops_of_the_term() -> None:
    fenced, other = Scripted("fenced", Fenced("succeeded")), Scripted("other")
    async with asyncio.timeout(10):
        await run_loops([fenced, other], Term(1, "me"))
    ticks = other.ticks
    await asyncio.sleep(0)
    assert other.ticks == ticks

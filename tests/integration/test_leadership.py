"""Leadership on a real database: the fence between two sessions, and candidates as processes that are killed,
paused, and robbed of their lease."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog_server.db import Database, Session
from catalog_server.leadership import Conflict, Fence, Fenced, LeaseRecord, Term, read_leader
from catalog_server.leadership.database_lease import DatabaseLease
from support.postgres import PostgresServer, wait_until

FENCE = Fence("test")


async def raise_epoch(database: Database, epoch: int) -> bool:
    return await database.transaction(lambda session: FENCE.raise_to(session, epoch, f"holder-{epoch}"))


async def test_epochs_never_go_back(any_database: Database) -> None:
    assert await raise_epoch(any_database, 5)
    assert not await raise_epoch(any_database, 5)
    assert not await raise_epoch(any_database, 4)
    assert await any_database.run(FENCE.current) == 5
    assert await raise_epoch(any_database, 6)
    leader = await any_database.run(lambda session: read_leader(session, "test"))
    assert leader is not None
    assert (leader.epoch, leader.holder) == (6, "holder-6")


async def test_of_all_who_read_one_version_of_the_lease_one_changes_it(any_database: Database) -> None:
    lease = DatabaseLease(any_database, "test")
    made = await lease.create(LeaseRecord("a", 1, 15.0))
    attempts = [lease.update(LeaseRecord(name, 2, 15.0), made) for name in ("a", "b", "c", "d")]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert sorted(isinstance(result, Conflict) for result in results) == [False, True, True, True]


@pytest.mark.parametrize(("holder", "epoch"), [("a", 2), ("b", 2), ("b", 1)])
async def test_a_lease_that_was_deleted_and_made_again_is_another(
    any_database: Database, holder: str, epoch: int
) -> None:
    """Also under the same epoch: two who read the database's epoch before either raised it propose the same."""
    lease = DatabaseLease(any_database, "test")
    old = await lease.create(LeaseRecord("a", 1, 15.0))
    await any_database.run(lambda session: session.execute("DELETE FROM leadership_leases"))
    await lease.create(LeaseRecord(holder, epoch, 15.0))
    with pytest.raises(Conflict):
        await lease.update(LeaseRecord("a", 1, 15.0), old)


async def test_a_guarded_transaction_of_a_succeeded_term_is_refused(any_database: Database) -> None:
    await raise_epoch(any_database, 1)
    assert await any_database.transaction(FENCE.guarded(Term(1, "holder-1"), lambda session: "written")) == "written"
    await raise_epoch(any_database, 2)
    with pytest.raises(Fenced):
        await any_database.transaction(FENCE.guarded(Term(1, "holder-1"), lambda session: "written"))


async def test_a_check_outside_of_a_transaction_is_an_error_not_an_answer(any_database: Database) -> None:
    await raise_epoch(any_database, 1)
    with pytest.raises(RuntimeError, match="outside of a transaction"):
        await any_database.run(lambda session: FENCE.check(session, Term(1, "holder-1")))


async def test_the_epoch_is_raised_only_after_a_write_that_passed_the_check_was_committed(database: Database) -> None:
    await raise_epoch(database, 1)
    checked, go_on = threading.Event(), threading.Event()
    order: list[str] = []

    def slow_write(session: Session) -> None:
        checked.set()
        assert go_on.wait(10)
        order.append("written")

    write = asyncio.create_task(database.transaction(FENCE.guarded(Term(1, "holder-1"), slow_write)))
    assert await asyncio.to_thread(checked.wait, 10)
    successor = asyncio.create_task(raise_epoch(database, 2))
    successor.add_done_callback(lambda _: order.append("raised"))
    blocked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while not successor.done() and not await database.run(lambda session: session.scalar(blocked)):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    go_on.set()
    await write
    assert await successor
    assert order == ["written", "raised"]


class Candidate:
    """A process of `leader_process`, and what it said."""

    def __init__(self, dsn: str, name: str) -> None:
        self.name = name
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "integration.leader_process", dsn, name],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            text=True,
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


class Contest:
    """Three candidates for one lease, and the rows that they wrote."""

    def __init__(self, postgres: PostgresServer, dsn: str) -> None:
        self._postgres = postgres
        self._name = dsn.rsplit("/", 1)[1]
        self.query("CREATE TABLE guarded (id bigint GENERATED ALWAYS AS IDENTITY, epoch bigint, holder text)")
        self.candidates = {name: Candidate(dsn, name) for name in ("a", "b", "c")}

    def query(self, sql: str) -> list[tuple[object, ...]]:
        return self._postgres.execute(sql, self._name)

    def epoch(self) -> int:
        rows = self.query("SELECT epoch FROM leadership_epochs")
        return int(rows[0][0]) if rows else 0  # type: ignore[call-overload]

    def writer(self, after_epoch: int = 0) -> Candidate:
        """Waits for a row of a later epoch; returns who wrote it."""
        sql = f"SELECT holder FROM guarded WHERE epoch > {after_epoch} ORDER BY id DESC LIMIT 1"
        return self.candidates[str(wait_until(lambda: self.query(sql), what="a leader that writes")[0][0])]

    def expect_order(self) -> None:
        """Rows are in the order of their epochs, and each epoch has one holder."""
        rows = self.query("SELECT epoch, holder FROM guarded ORDER BY id")
        epochs = [epoch for epoch, _ in rows]
        assert epochs == sorted(epochs), "a leader wrote after its successor"  # type: ignore[type-var]
        assert len(set(rows)) == len(set(epochs))


@pytest.fixture
def contest(postgres: PostgresServer, dsn: str) -> Iterator[Contest]:
    contest = Contest(postgres, dsn)
    yield contest
    for candidate in contest.candidates.values():
        candidate.end()


def test_a_paused_leader_that_wakes_after_its_successor_tries_to_write_and_is_refused(contest: Contest) -> None:
    for _ in range(3):
        leader = contest.writer(after_epoch=contest.epoch() - 1)
        epoch = contest.epoch()
        leader.process.send_signal(signal.SIGSTOP)
        contest.writer(after_epoch=epoch)
        written = contest.query(f"SELECT count(*) FROM guarded WHERE epoch = {epoch}")
        leader.process.send_signal(signal.SIGCONT)
        wait_until(lambda: f"refused {epoch}" in leader.said, what="a write under the old term, refused")  # noqa: B023
        assert contest.query(f"SELECT count(*) FROM guarded WHERE epoch = {epoch}") == written
        contest.expect_order()


def test_a_killed_leader_is_succeeded_under_a_higher_epoch(contest: Contest) -> None:
    leader = contest.writer()
    epoch = contest.epoch()
    leader.end()
    assert contest.writer(after_epoch=epoch) is not leader
    contest.expect_order()


def test_a_lease_deleted_by_hand_costs_terms_but_never_takes_an_epoch_back(contest: Contest) -> None:
    for _ in range(3):
        contest.writer(after_epoch=contest.epoch() - 1)
        epoch = contest.epoch()
        contest.query("DELETE FROM leadership_leases")
        contest.writer(after_epoch=epoch)
        contest.expect_order()

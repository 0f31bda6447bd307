"""Several processes migrate one database, and some of them die, stop or hang while they do."""

import contextlib
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from catalog_server.db import Database
from catalog_server.db.deadline import deadline
from catalog_server.migrations import Runner, read_status
from catalog_server.migrations.errors import LockUnavailable, MigrationStopped
from catalog_server.migrations.lock import FileLock
from integration.migrations_process import GATE, VERSION_SETS
from support.postgres import wait_until

PROCESS = Path(__file__).with_name("migrations_process.py")
BOUND_SECONDS = 60
# Less than the ten seconds after which the defaults of any connection would end a paused transaction.
HEIR_WAITS = ("--wait-seconds", "7")


class Migrator:
    """A process that migrates on its own; its lines are collected as they come."""

    def __init__(self, dsn: str, versions: str, identity: str, *options: str) -> None:
        self.identity = identity
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(PROCESS), dsn, versions, identity, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def go(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def said(self, start: str) -> bool:
        return any(line.startswith(start) for line in self.lines)

    def wait_for(self, start: str) -> None:
        wait_until(lambda: self.said(start), seconds=BOUND_SECONDS, what=f"{self.identity} saying {start!r}")

    def outcome(self) -> str:
        """The last line of a process that ended."""
        self.process.wait(BOUND_SECONDS)
        self._reader.join()
        return self.lines[-1]

    def applied(self) -> list[int]:
        outcome = self.outcome()
        assert outcome.startswith("done:"), f"{self.identity}: {self.lines}"
        return [int(number) for number in outcome.removeprefix("done:").split()]


Start = Callable[..., Migrator]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts migrators; they wait for `go`."""
    started: list[Migrator] = []

    def start_one(*arguments: str) -> Migrator:
        started.append(Migrator(*arguments))
        return started[-1]

    yield start_one
    for migrator in started:
        migrator.process.kill()
        migrator.process.wait()


@pytest.fixture(params=["postgresql", "sqlite"])
def fresh_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    return request.getfixturevalue("empty_dsn")


@contextlib.contextmanager
def closed_gate(dsn: str) -> Iterator[Callable[[], None]]:
    """Keeps versions at the gate; yields what opens it."""
    with deadline(180):
        connection = psycopg2.connect(dsn)
        connection.autocommit = True
        connection.cursor().execute(f"SELECT pg_advisory_lock({GATE})")
        try:
            yield connection.close
        finally:
            connection.close()


def rows(dsn: str, sql: str) -> list[tuple]:
    with deadline(30):
        connection = psycopg2.connect(dsn)
        try:
            cursor = connection.cursor()
            cursor.execute(sql)
            return cursor.fetchall()
        finally:
            connection.close()


def all_at_once(migrators: list[Migrator]) -> None:
    for migrator in migrators:
        migrator.wait_for("ready")
    for migrator in migrators:
        migrator.go()


def at_gate(dsn: str) -> bool:
    return bool(rows(dsn, f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = {GATE} AND NOT granted"))


def migrating_sessions(dsn: str) -> int:
    found = rows(
        dsn,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND (application_name LIKE 'catalog-server/migrations%' OR application_name LIKE 'migrating@%')",
    )
    return int(found[0][0])


def test_of_eight_processes_on_an_empty_database_exactly_one_applies_each_version(fresh_dsn: str, start: Start) -> None:
    migrators = [start(fresh_dsn, "chain", f"replica-{number}") for number in range(8)]
    all_at_once(migrators)
    applied = Counter(number for migrator in migrators for number in migrator.applied())
    assert applied == dict.fromkeys(range(1, 6), 1)
    database = Database(fresh_dsn, purpose="test", size=1, deadline_seconds=10, connect_timeout_seconds=5)
    with database.session() as session:
        effects = [row.version for row in session.rows("SELECT version FROM effects ORDER BY version")]
        assert effects == [2, 3, 4, 5]
        assert read_status(session, VERSION_SETS["chain"]).problem is None
    database.close_this_thread()


def test_another_takes_over_from_a_holder_that_is_killed_in_mid_version(empty_dsn: str, start: Start) -> None:
    with closed_gate(empty_dsn) as open_gate:
        holder = start(empty_dsn, "gate", "doomed")
        all_at_once([holder])
        wait_until(lambda: at_gate(empty_dsn), what="the holder being in mid-version")
        heirs = [start(empty_dsn, "gate", f"heir-{number}") for number in range(2)]
        all_at_once(heirs)
        for heir in heirs:
            heir.wait_for("waiting for the migration lock, held by doomed")
        holder.process.send_signal(signal.SIGKILL)
        # The gate is still closed, so the server itself must notice that its client is gone.
        wait_until(lambda: any(heir.said("applying 0002") for heir in heirs), seconds=BOUND_SECONDS)
        open_gate()
        assert sorted(number for heir in heirs for number in heir.applied()) == [2]
    assert rows(empty_dsn, "SELECT version FROM effects") == [(2,)]
    by = dict(rows(empty_dsn, "SELECT number, applied_by FROM schema_migrations"))
    assert by[1] == "doomed"
    assert by[2].startswith("heir-")


def test_a_holder_paused_in_mid_transaction_loses_the_lock_and_changes_nothing_when_it_wakes(
    empty_dsn: str, start: Start
) -> None:
    with closed_gate(empty_dsn) as open_gate:
        holder = start(empty_dsn, "gate", "sleeper", "--idle-holder-seconds", "1")
        all_at_once([holder])
        wait_until(lambda: at_gate(empty_dsn), what="the holder being in mid-version")
        holder.process.send_signal(signal.SIGSTOP)
        open_gate()  # its statement ends, and nobody goes on with the transaction
    takes_over_from(holder, start(empty_dsn, "gate", "heir", *HEIR_WAITS))
    assert "the connection was lost during version 0002_step2" in holder.outcome()
    assert rows(empty_dsn, "SELECT version FROM effects") == [(2,)]


def test_a_holder_paused_between_versions_loses_the_lock_and_changes_nothing_when_it_wakes(
    empty_dsn: str, start: Start
) -> None:
    pause = ("--idle-holder-seconds", "1", "--pause-after", "applied 0001")
    holder = start(empty_dsn, "gate", "sleeper", *pause)
    all_at_once([holder])
    holder.wait_for("applied 0001")
    takes_over_from(holder, start(empty_dsn, "gate", "heir", *HEIR_WAITS))
    assert holder.outcome().startswith("failed: LockLost: the session that should change the schema")
    assert rows(empty_dsn, "SELECT version FROM effects") == [(2,)]


def takes_over_from(sleeper: Migrator, heir: Migrator) -> None:
    """The heir gets the lock while the other sleeps, and the other wakes when all is done."""
    all_at_once([heir])
    assert heir.applied() == [2]
    sleeper.process.send_signal(signal.SIGCONT)


def test_an_index_is_built_concurrently_while_seven_wait(empty_dsn: str, start: Start) -> None:
    with closed_gate(empty_dsn) as open_gate:
        migrators = [start(empty_dsn, "index", f"replica-{number}") for number in range(8)]
        all_at_once(migrators)
        wait_until(lambda: at_gate(empty_dsn) and migrating_sessions(empty_dsn) == 8, what="seven waiting")
        open_gate()
        applied = [migrator.applied() for migrator in migrators]
    assert sorted(applied) == [[]] * 7 + [[1, 2]]
    assert rows(empty_dsn, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_id'::regclass") == [(True,)]
    # No attempt was given up and made again: waiting was never in the way.
    assert not any("attempt" in line for migrator in migrators for line in migrator.lines)


def test_a_bounded_wait_gives_up_and_names_the_holder(empty_dsn: str, start: Start) -> None:
    with closed_gate(empty_dsn):
        holder = start(empty_dsn, "gate", "slow-replica")
        all_at_once([holder])
        wait_until(lambda: at_gate(empty_dsn), what="the holder being in mid-version")
        said: list[str] = []
        runner = Runner(empty_dsn, versions=VERSION_SETS["gate"], wait_seconds=1, progress=said.append)
        with pytest.raises(LockUnavailable, match=r"held for 1 s by slow-replica \(pid \d+ .*\) since \d{4}-\d\d-\d\d"):
            runner.upgrade()
        assert said
        assert all("held by slow-replica" in line for line in said)
        status = runner.status()
        assert [version.number for version in status.pending] == [2]
        assert "the migration lock is held by slow-replica" in status.explanation
        with pytest.raises(Exception, match="pending: 0002_step2; the migration lock is held by slow-replica"):
            runner.wait_until_current()


def test_a_bounded_wait_gives_up_and_names_the_holder_on_sqlite(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.db")
    holder = FileLock(path, "slow-replica")
    assert holder.try_acquire(None)  # type: ignore[arg-type]
    runner = Runner(f"sqlite:///{path}", versions=VERSION_SETS["chain"], wait_seconds=0.5)
    with pytest.raises(LockUnavailable, match=r"by slow-replica \(pid \d+\) since"):
        runner.upgrade()
    holder.abandon()
    assert len(runner.upgrade()) == 5


def test_who_waits_for_anothers_migration_returns_when_it_is_done(empty_dsn: str, start: Start) -> None:
    with closed_gate(empty_dsn) as open_gate:
        holder = start(empty_dsn, "gate", "worker")
        all_at_once([holder])
        wait_until(lambda: at_gate(empty_dsn), what="the holder being in mid-version")
        said: list[str] = []

        def opens_gate(message: str) -> None:
            said.append(message)
            open_gate()

        Runner(empty_dsn, versions=VERSION_SETS["gate"], progress=opens_gate).wait_until_current()
    assert "held by worker" in said[0]
    assert holder.applied() == [1, 2]


@pytest.mark.parametrize("where", ["in mid-version", "waiting for the lock"])
def test_a_runner_that_is_told_to_stop_ends_and_leaves_no_lock(empty_dsn: str, start: Start, where: str) -> None:
    with closed_gate(empty_dsn) as open_gate:
        if where == "waiting for the lock":
            all_at_once([start(empty_dsn, "gate", "holder")])
            wait_until(lambda: at_gate(empty_dsn), what="the holder being in mid-version")
        stopped, waits, ended = threading.Event(), threading.Event(), []

        def told(message: str) -> None:
            if message.startswith(("applying 0002", "waiting for")):
                waits.set()

        runner = Runner(
            empty_dsn, versions=VERSION_SETS["gate"], lock_timeout_seconds=600, progress=told, stopped=stopped
        )

        def migrate() -> None:
            try:
                runner.upgrade()
            except MigrationStopped as error:
                ended.append(error)

        thread = threading.Thread(target=migrate)
        thread.start()
        assert waits.wait(BOUND_SECONDS)
        if where == "in mid-version":
            wait_until(lambda: at_gate(empty_dsn), what="the runner being in mid-version")
        stopped.set()
        thread.join(15)
        assert ended, "the runner did not stop"
        open_gate()
    Runner(empty_dsn, versions=VERSION_SETS["gate"]).upgrade()
    assert rows(empty_dsn, "SELECT version FROM effects") == [(2,)]

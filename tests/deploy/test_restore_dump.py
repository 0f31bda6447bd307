"""A dump that is loaded takes the place of all that was there, or of nothing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import psycopg2.extensions
import pytest

from catalog_server.db.deadline import deadline
from deploy.deployment import load_module, load_module_utils
from support.postgres import BIN, PostgresServer

restore = load_module("postgresql_load_dump")
shared = load_module_utils("postgresql_cluster")
Failed = restore.Failed

TABLES = (
    "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid WHERE relkind = 'r'"
)


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Every call of psycopg2 in these tests needs a deadline, since the server's code sets its wait callback."""
    with deadline(60):
        yield


class Stage:
    """A dump of three rows, and a database that holds others and a table more."""

    def __init__(self, folder: Path, postgres: PostgresServer) -> None:
        self._postgres = postgres
        source = postgres.create_database()
        postgres.execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 3) AS n", source)
        self.dump = folder / "catalog.dump"
        subprocess.run([BIN / "pg_dump", "--format=custom", f"--file={self.dump}", postgres.dsn(source)], check=True)
        self.database = postgres.create_database()
        postgres.execute("CREATE TABLE kept AS SELECT 7 AS n; CREATE TABLE newer AS SELECT 8 AS n", self.database)
        for name in ("secrets", "postgresql", "config/programs"):
            (folder / name).mkdir(parents=True)
        (folder / "secrets" / "postgresql_application_password").write_text("not asked for")
        for name in ("replica-1", "replica-2", "haproxy"):
            (folder / "config" / "programs" / f"{name}.conf").touch()
        login = psycopg2.extensions.parse_dsn(postgres.dsn(self.database))
        primary = SimpleNamespace(port=postgres.port, login=lambda _host, _port: login)
        self.stopped: list[str] = []
        programs = SimpleNamespace(
            state=lambda name: "stopped" if name == "replica-2" else "running",
            stop=lambda name, *, wait: self.stopped.append(name) if wait else None,
            end=lambda name: shared.Programs.end(programs, name),
        )
        self.cluster = SimpleNamespace(
            state_dir=folder,
            the_primary=lambda: primary,
            programs=programs,
            servers=lambda: shared.Cluster.servers(self.cluster),
        )
        self.backups = SimpleNamespace(bin=BIN, database=self.database, database_role="postgres")

    def load(self) -> dict[str, list[object]]:
        return dict(restore.load(self.cluster, self.backups, self.dump))

    def execute(self, sql: str) -> None:
        self._postgres.execute(sql, self.database)

    def content(self) -> dict[tuple[object, ...], list[object]]:
        tables = [row for row in self._postgres.execute(TABLES, self.database) if not str(row[0]).startswith("pg_")]
        tables = [row for row in tables if row[0] != "information_schema"]
        return {
            row: [n for (n,) in self._postgres.execute(f"SELECT n FROM {row[0]}.{row[1]}", self.database)]
            for row in tables
        }


OLD = {("public", "kept"): [7], ("public", "newer"): [8]}
DUMPED = {("public", "kept"): [1, 2, 3]}


@pytest.fixture
def stage(tmp_path: Path, postgres: PostgresServer) -> Stage:
    return Stage(tmp_path, postgres)


def test_nothing_of_what_was_there_is_left_behind_a_load(stage: Stage) -> None:
    assert stage.load()["public.kept"][0] == 3
    assert stage.content() == DUMPED


def test_where_the_load_fails_all_that_was_there_is_in_its_place(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    load = restore.pg_restore

    def fail(*arguments: object, **environment: str) -> None:
        load(*arguments, **environment)
        raise Failed("the disk is full")

    monkeypatch.setattr(restore, "pg_restore", fail)
    with pytest.raises(Failed, match="the disk is full"):
        stage.load()
    assert stage.content() == OLD


def test_a_load_that_was_killed_is_done_again_from_what_was_there(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.execute(f"ALTER SCHEMA public RENAME TO {restore.ASIDE}; CREATE SCHEMA public; CREATE TABLE half (n int)")

    def fail(*_arguments: object, **_environment: str) -> None:
        raise Failed("once more")

    with monkeypatch.context() as patched:
        patched.setattr(restore, "pg_restore", fail)
        with pytest.raises(Failed, match="once more"):
            stage.load()
    assert stage.content() == OLD
    stage.load()
    assert stage.content() == DUMPED


@pytest.mark.parametrize("size", [0, 200])
def test_a_dump_that_can_not_be_read_to_its_end_is_refused(stage: Stage, size: int) -> None:
    stage.dump.write_bytes(stage.dump.read_bytes()[:size])
    with pytest.raises(Failed, match=r"catalog\.dump: pg_restore failed: .*Nothing was replaced"):
        restore.read(stage.cluster, stage.backups, stage.dump)


@pytest.mark.parametrize(
    ("dump", "message"),
    [("", r"dump is not set.*Add -e dump=\.\.\."), ("/no/such.dump", "dump = /no/such.dump: there is no such file")],
)
def test_a_dump_that_is_not_there_is_refused(dump: str, message: str) -> None:
    with pytest.raises(Failed, match=message):
        restore.find(dump)


def test_the_servers_that_run_are_stopped_and_nothing_else_is(stage: Stage) -> None:
    assert restore.turn_away(stage.cluster)
    assert stage.stopped == ["replica-1"]

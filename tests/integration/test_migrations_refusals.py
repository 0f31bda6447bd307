"""What the runner refuses, what it says then, and what a failure leaves behind."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from catalog_server import replicas
from catalog_server.db import Database, Session
from catalog_server.db.deadline import deadline
from catalog_server.migrations import Runner, Version, read_status
from catalog_server.migrations.errors import (
    ChangedVersion,
    DowngradeRefused,
    HistoryGap,
    IncompatibleSchema,
    LockLost,
    NotWritable,
    PooledConnection,
    VersionFailed,
    VersionsPending,
)
from catalog_server.migrations.versions import VERSIONS
from integration.migrations_process import version
from support.pooler import Pooler
from support.postgres import PostgresServer

FIRST = version(1, "CREATE TABLE things (id integer);", down="DROP TABLE things;")
SECOND = version(2, "CREATE TABLE more (id integer);", down="DROP TABLE more;")
CONTRACTING = version(2, "DROP TABLE things;", down="CREATE TABLE things (id integer);", oldest_server_head=2)


@pytest.fixture(params=["postgresql", "sqlite"])
def fresh_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    return request.getfixturevalue("empty_dsn")


@contextmanager
def session_on(dsn: str) -> Iterator[Session]:
    database = Database(dsn, purpose="test", size=1, deadline_seconds=30, connect_timeout_seconds=5)
    try:
        with database.session() as session:
            yield session
    finally:
        database.close_this_thread()
        database.close()


def has_table(dsn: str, name: str) -> bool:
    with session_on(dsn) as session:
        if session.dialect.name == "sqlite":
            return bool(session.scalar("SELECT count(*) FROM sqlite_master WHERE name = %(name)s", name=name))
        return bool(session.scalar("SELECT to_regclass(%(name)s) IS NOT NULL", name=name))


def upgrade(dsn: str, *versions: Version) -> list[Version]:
    return Runner(dsn, versions=versions, wait_seconds=10).upgrade()


def test_a_second_upgrade_applies_nothing(fresh_dsn: str) -> None:
    assert upgrade(fresh_dsn, FIRST, SECOND) == [FIRST, SECOND]
    assert upgrade(fresh_dsn, FIRST, SECOND) == []


def test_a_failed_version_names_itself_and_leaves_the_schema_as_it_was(fresh_dsn: str) -> None:
    broken = version(2, "CREATE TABLE more (id integer); INSERT INTO nowhere VALUES (1);")
    with pytest.raises(VersionFailed, match=r"version 0002_step2 failed and was rolled back: .*nowhere"):
        upgrade(fresh_dsn, FIRST, broken)
    assert has_table(fresh_dsn, "things")
    assert not has_table(fresh_dsn, "more")
    assert upgrade(fresh_dsn, FIRST, SECOND) == [SECOND]


def test_a_version_whose_row_can_not_be_written_is_rolled_back(fresh_dsn: str) -> None:
    row = "INSERT INTO schema_migrations SELECT 2, name, '', 1, applied_at, 'forger', 0 FROM schema_migrations;"
    with pytest.raises(VersionFailed, match="version 0002_step2 failed and was rolled back"):
        upgrade(fresh_dsn, FIRST, version(2, "CREATE TABLE more (id integer);" + row))
    assert not has_table(fresh_dsn, "more")
    assert Runner(fresh_dsn, versions=[FIRST]).status().current == 1


def test_a_version_that_was_edited_after_it_was_applied_is_refused_by_name(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST)
    edited = version(1, "CREATE TABLE things (id bigint);", down="DROP TABLE things;")
    with pytest.raises(ChangedVersion, match="version 0001_step1 was changed after it was applied"):
        upgrade(fresh_dsn, edited, SECOND)
    assert not has_table(fresh_dsn, "more")
    with pytest.raises(ChangedVersion):
        Runner(fresh_dsn, versions=[edited]).check()


def test_a_newer_schema_is_used_where_its_versions_only_expand(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST, SECOND)
    older_server = Runner(fresh_dsn, versions=[FIRST])
    older_server.check()
    assert older_server.upgrade() == []
    status = older_server.status()
    assert status.compatible
    assert [str(row) for row in status.newer] == ["0002_step2"]


def test_a_newer_schema_that_contracted_is_refused_with_the_remedy(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST, CONTRACTING)
    older_server = Runner(fresh_dsn, versions=[FIRST])
    with pytest.raises(IncompatibleSchema, match=r"0002_step2, which needs servers that know version 0002; .*Upgrade"):
        older_server.upgrade()
    with pytest.raises(IncompatibleSchema):
        older_server.check()
    with pytest.raises(IncompatibleSchema):
        older_server.wait_until_current()


def test_a_gap_in_the_history_is_refused(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST, SECOND)
    with session_on(fresh_dsn) as session:
        session.execute("DELETE FROM schema_migrations WHERE number = 1")
    with pytest.raises(HistoryGap, match="version 0002_step2 is applied but version 0001 is not"):
        upgrade(fresh_dsn, FIRST, SECOND)


def test_missing_versions_are_told_without_being_applied(fresh_dsn: str) -> None:
    with pytest.raises(VersionsPending, match=r"pending: 0001_step1\. Run catalog-server db upgrade"):
        Runner(fresh_dsn, versions=[FIRST]).check()
    assert not has_table(fresh_dsn, "schema_migrations")


def test_the_history_says_what_was_applied_by_whom(fresh_dsn: str) -> None:
    Runner(fresh_dsn, versions=[FIRST], identity="replica-7").upgrade()
    with session_on(fresh_dsn) as session:
        (row,) = read_status(session, [FIRST]).applied
        now = session.dialect.to_datetime(session.scalar(f"SELECT {session.dialect.now}"))
    assert (row.number, row.name, row.applied_by, row.oldest_server_head) == (1, "step1", "replica-7", 1)
    assert row.duration_ms >= 0
    assert abs((now - row.applied_at).total_seconds()) < 60


def test_percent_signs_quotes_and_comments_reach_the_database(fresh_dsn: str) -> None:
    tricky = version(
        1, "CREATE TABLE things (name text); -- 100 %; or so\nINSERT INTO things VALUES ('50 %; it''s');\n"
    )
    upgrade(fresh_dsn, tricky)
    with session_on(fresh_dsn) as session:
        assert session.scalar("SELECT name FROM things") == "50 %; it's"


def test_a_read_only_database_is_refused_with_the_remedy(postgres: PostgresServer, empty_dsn: str) -> None:
    name = empty_dsn.rsplit("/", 1)[1]
    postgres.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    with pytest.raises(NotWritable, match=r"can not be written to: .*read-only.*Name the primary"):
        upgrade(empty_dsn, FIRST)
    with pytest.raises(NotWritable, match="is a standby or read-only"):
        upgrade(f"{empty_dsn}?target_session_attrs=any", FIRST)


def test_a_role_that_may_not_create_tables_is_refused_with_the_remedy(postgres: PostgresServer, empty_dsn: str) -> None:
    role = empty_dsn.rsplit("/", 1)[1] + "_reader"
    postgres.execute(f'CREATE ROLE "{role}" LOGIN')
    try:
        with pytest.raises(NotWritable, match=f"GRANT CREATE ON SCHEMA public TO {role}"):
            upgrade(empty_dsn.replace("postgres@", f"{role}@"), FIRST)
    finally:
        postgres.execute(f'DROP ROLE "{role}"')


def test_a_sqlite_file_in_a_folder_that_is_not_there_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(NotWritable, match="make the file writable"):
        upgrade(f"sqlite:///{tmp_path}/missing/catalog.db", FIRST)


@pytest.mark.parametrize("behaviour", [{"take": "last"}, {"take": "first"}, {"strict": True}], ids=str)
def test_a_transaction_pooler_is_refused_with_the_remedy(
    postgres: PostgresServer, empty_dsn: str, behaviour: dict
) -> None:
    pooler = Pooler(postgres.port, **behaviour)
    pooled_dsn = empty_dsn.replace(f":{postgres.port}/", f":{pooler.port}/")
    try:
        with pytest.raises(PooledConnection, match=r"pooler.*Set migrations_dsn"):
            upgrade(pooled_dsn, FIRST)
        with pytest.raises(PooledConnection):
            Runner(pooled_dsn, versions=[FIRST]).check_address()
    finally:
        pooler.stop()
    assert not has_table(empty_dsn, "things")


def test_a_pooler_of_whole_sessions_is_accepted(postgres: PostgresServer, empty_dsn: str) -> None:
    pooler = Pooler(postgres.port, pooling="session")
    try:
        assert upgrade(empty_dsn.replace(f":{postgres.port}/", f":{pooler.port}/"), FIRST) == [FIRST]
    finally:
        pooler.stop()


def cut_sessions(postgres: PostgresServer, dsn: str) -> None:
    name = dsn.rsplit("/", 1)[1]
    postgres.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}'")


def test_nothing_is_changed_after_the_session_with_the_lock_was_lost(postgres: PostgresServer, empty_dsn: str) -> None:
    def cut_after_first(message: str) -> None:
        if message.startswith("applied 0001"):
            cut_sessions(postgres, empty_dsn)

    with pytest.raises(LockLost, match="does not hold the migration lock"):
        Runner(empty_dsn, versions=[FIRST, SECOND], progress=cut_after_first).upgrade()
    assert has_table(empty_dsn, "things")
    assert not has_table(empty_dsn, "more")


def test_a_lock_that_was_lost_before_its_release_is_told(postgres: PostgresServer, empty_dsn: str) -> None:
    def cut_after_last(message: str) -> None:
        if message.startswith("applied 0002"):
            cut_sessions(postgres, empty_dsn)

    with pytest.raises(LockLost, match="no longer held when it was to be released"):
        Runner(empty_dsn, versions=[FIRST, SECOND], progress=cut_after_last).upgrade()
    assert upgrade(empty_dsn, FIRST, SECOND) == []


def test_a_version_waits_shortly_and_often_for_a_table_in_use(empty_dsn: str) -> None:
    upgrade(empty_dsn, FIRST)
    with deadline(60):
        user = psycopg2.connect(empty_dsn)
        user.cursor().execute("LOCK TABLE things IN ACCESS SHARE MODE")
        said: list[str] = []

        def told(message: str) -> None:
            said.append(message)
            if "attempt 2" in message:
                user.close()

        altering = version(2, "ALTER TABLE things ADD COLUMN name text;")
        runner = Runner(empty_dsn, versions=[FIRST, altering], lock_timeout_seconds=0.05, progress=told)
        assert runner.upgrade() == [altering]
    assert "0002_step2 waits for tables in use, attempt 1 of 8" in said


def test_an_invalid_index_left_by_an_interrupted_attempt_is_built_again(empty_dsn: str) -> None:
    unique = version(
        2,
        "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS things_id ON things (id);",
        down="DROP INDEX CONCURRENTLY IF EXISTS things_id;",
        transactional=False,
    )
    is_valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('things_id')"
    upgrade(empty_dsn, FIRST)
    with session_on(empty_dsn) as session:
        session.execute("INSERT INTO things VALUES (1), (1)")
        with pytest.raises(VersionFailed, match=r"version 0002_step2 failed: .*not transactional"):
            upgrade(empty_dsn, FIRST, unique)
        assert session.scalar(is_valid) is False
        session.execute("DELETE FROM things")
        assert upgrade(empty_dsn, FIRST, unique) == [unique]
        assert session.scalar(is_valid) is True
        Runner(empty_dsn, versions=[FIRST, unique]).downgrade(1)
        assert session.scalar(is_valid) is None


def test_a_downgrade_takes_versions_back_newest_first(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST, SECOND)
    runner = Runner(fresh_dsn, versions=[FIRST, SECOND])
    assert runner.downgrade(1) == [SECOND]
    assert not has_table(fresh_dsn, "more")
    assert runner.status().current == 1
    assert runner.downgrade(0) == [FIRST]
    assert runner.upgrade() == [FIRST, SECOND]


def test_a_downgrade_to_a_version_that_is_not_there_is_refused(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST)
    for target in (-1, 2):
        with pytest.raises(DowngradeRefused, match="Name a version between 0 and 1"):
            Runner(fresh_dsn, versions=[FIRST]).downgrade(target)


def test_only_a_server_that_knows_a_version_takes_it_back(fresh_dsn: str) -> None:
    upgrade(fresh_dsn, FIRST, SECOND)
    with pytest.raises(IncompatibleSchema, match="0002_step2 is applied, which only a newer server can take back"):
        Runner(fresh_dsn, versions=[FIRST]).downgrade(0)


def test_a_downgrade_is_refused_while_a_running_replica_needs_the_newer_schema(any_dsn: str) -> None:
    head = len(VERSIONS)
    added = version(
        head + 1, "ALTER TABLE replicas ADD COLUMN note text;", down="ALTER TABLE replicas DROP COLUMN note;"
    )
    runner = Runner(any_dsn, versions=[*VERSIONS, added])
    runner.upgrade()
    with session_on(any_dsn) as session:

        def beat(name: str, schema_head: int) -> None:
            replicas.beat(
                session, id=name, name=name, server_version="2", schema_head=schema_head, url=None, ready=True
            )

        beat("newer", head + 1)
        with pytest.raises(DowngradeRefused, match=r"are needed by running replicas: newer \(2\)"):
            runner.downgrade(head)
        assert runner.status().current == head + 1
        replicas.remove(session, "newer")
        beat("older", head)
        with pytest.raises(DowngradeRefused, match="are needed by running replicas: older"):
            runner.downgrade(0)
        assert runner.status().current == head + 1  # refused as a whole, not after a part of the way
        assert runner.downgrade(head) == [added]  # the older server never needed it
        session.execute("UPDATE replicas SET last_seen_at = '2001-01-01T00:00:00.000+00:00'")
        assert runner.downgrade(0) == list(reversed(VERSIONS))  # a dead replica needs nothing

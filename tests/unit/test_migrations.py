"""Versions as values, and the rule that says which server runs on which schema."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_server.migrations import server_head
from catalog_server.migrations.history import Applied
from catalog_server.migrations.lock import Holder
from catalog_server.migrations.status import SchemaStatus, refusal
from catalog_server.migrations.version import Version, check_order, statements
from catalog_server.migrations.versions import VERSIONS

# The checksums of released versions. A change here is a change of history: write a new version instead.
RELEASED = {
    "0001_initial": {
        "postgresql": "7115a39e23c6620f3fce7758b72e16bdab6a44df47d70da772b87af522c851cc",
        "sqlite": "2a5757140ffdae8381d775d430cceeb2126c6b303e8d2362529062910ca7b04e",
    },
}


def make(number: int, oldest_server_head: int = 1, sql: str = "SELECT 1;", **options: object) -> Version:
    both = {"postgresql": sql, "sqlite": sql}
    return Version(number, f"step{number}", oldest_server_head, both, both, **options)  # type: ignore[arg-type]


def row(version: Version) -> Applied:
    return Applied(
        version.number,
        version.name,
        version.checksum("sqlite"),
        version.oldest_server_head,
        None,
        "someone",
        1,
    )


def runs_on(head: int, schema: list[Version]) -> bool:
    """Whether a server that knows the first `head` versions accepts the schema."""
    return refusal([row(version) for version in schema], schema[:head], "sqlite") is None


def test_released_versions_are_never_edited() -> None:
    checksums = {
        str(version): {dialect: version.checksum(dialect) for dialect in ("postgresql", "sqlite")}
        for version in VERSIONS
    }
    assert {name: checksums[name] for name in RELEASED} == RELEASED


def test_the_servers_head_is_its_newest_version() -> None:
    assert server_head() == VERSIONS[-1].number


@pytest.mark.parametrize("numbers", [[2], [1, 3], [2, 1], [1, 1]])
def test_versions_out_of_order_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="numbered 1, 2, 3"):
        check_order([make(number) for number in numbers])


@pytest.mark.parametrize("oldest", [0, 3])
def test_a_version_can_not_need_a_server_newer_than_itself(oldest: int) -> None:
    with pytest.raises(ValueError, match="oldest_server_head must be between 1 and 2"):
        make(2, oldest)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE INDEX CONCURRENTLY a ON b (c);",
        "CREATE INDEX IF NOT EXISTS a ON b (c);",
        "DROP INDEX CONCURRENTLY a;",
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS a ON b (c); ALTER TABLE b ADD d int;",
    ],
)
def test_a_version_without_a_transaction_holds_only_what_can_be_run_again(sql: str) -> None:
    with pytest.raises(ValueError, match="each statement must be CREATE INDEX CONCURRENTLY"):
        make(1, sql=sql, transactional=False)


def test_a_version_without_a_transaction_knows_its_indexes() -> None:
    sql = """
        CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS first ON things (id);
        create index concurrently if not exists second ON things (lower(name)) WHERE name <> ';';
    """
    assert make(1, sql=sql, transactional=False).concurrent_indexes == ("first", "second")


def test_the_checksum_covers_all_that_a_version_does() -> None:
    checksums = {
        make(2).checksum("sqlite"),
        make(3).checksum("sqlite"),
        make(2, 2).checksum("sqlite"),
        make(2, sql="SELECT 2;").checksum("sqlite"),
    }
    assert len(checksums) == 4


def test_a_script_is_split_into_its_statements() -> None:
    sql = "CREATE TABLE a (b text); -- one; two\nINSERT INTO a VALUES ('x;y');\n-- the end"
    assert [statement.strip() for statement in statements(sql)] == [
        "CREATE TABLE a (b text);",
        "-- one; two\nINSERT INTO a VALUES ('x;y');",
    ]


def test_a_statement_without_an_end_is_not_lost() -> None:
    with pytest.raises(ValueError, match="without a semicolon at its end: DROP TABLE b"):
        statements("DROP TABLE a; DROP TABLE b")


def test_an_older_server_runs_on_versions_that_only_expand() -> None:
    schema = [make(1), make(2), make(3, 2), make(4, 4)]
    assert not runs_on(1, schema[:3])
    assert runs_on(2, schema[:3])
    assert not runs_on(3, schema)
    assert runs_on(4, schema)


@given(oldest=st.lists(st.integers(1, 6), max_size=6), head=st.integers(0, 6))
def test_every_newer_version_must_allow_the_server(oldest: list[int], head: int) -> None:
    schema = [make(number, min(wanted, number)) for number, wanted in enumerate(oldest, 1)]
    newer = schema[head:]
    assert runs_on(head, schema) == all(version.oldest_server_head <= head for version in newer)


def test_a_status_says_what_is_pending_and_who_migrates() -> None:
    since = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    status = SchemaStatus(
        applied=(),
        head=1,
        pending=(make(1),),
        refusal=None,
        lock_holder=Holder("replica-2", "pid 7", since),
    )
    assert status.current == 0
    assert status.compatible
    assert status.explanation == (
        "pending: 0001_step1; the migration lock is held by replica-2 (pid 7) since 2026-01-02 03:04:05 UTC."
        " Wait for the replica that migrates"
    )

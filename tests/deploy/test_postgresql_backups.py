"""What backups are kept, which ones a restore takes, what WAL goes, and what leaves the archive after a failover."""

import datetime
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2.extras import RealDictCursor

from catalog_server.db.deadline import deadline
from deploy.deployment import PLAYBOOKS, load_file, load_module_utils
from support.postgres import PostgresServer

cluster = load_module_utils("postgresql_cluster")
programs = load_module_utils("postgresql_programs")
backups = load_module_utils("postgresql_backups")
checksums = load_module_utils("postgresql_checksums")
schedule = load_file("backup_schedule", PLAYBOOKS / "roles" / "backup" / "files" / "backup_schedule.py")
wal_archive = load_file("wal_archive", PLAYBOOKS / "roles" / "backup" / "files" / "wal_archive.py")


@pytest.fixture(autouse=True)
def bounded() -> Iterator[None]:
    """Every call of psycopg2 in these tests needs a deadline, since the server's code sets its wait callback."""
    with deadline(60):
        yield


def record(day: int, parent: int | None = None, *, megabytes: int = 0) -> dict[str, object]:
    """The backup of that day; its WAL begins so many MB after the beginning."""
    return {
        "id": f"202601{day:02}T000000Z",
        "kind": "full" if parent is None else "incremental",
        "parent": None if parent is None else f"202601{parent:02}T000000Z",
        "ended_at": f"2026-01-{day:02} 00:05:00+00:00",
        "start_lsn": f"0/{megabytes << 20:X}",
    }


def ids(found: list[dict[str, object]]) -> list[int]:
    return [int(str(each["id"])[6:8]) for each in found]


WEEK = [record(1), record(2, 1), record(3, 2), record(4), record(5, 4), record(6), record(7, 6)]


def test_the_newest_backup_that_was_complete_at_the_target_is_restored_with_all_its_parents() -> None:
    chosen = backups.choose(WEEK, backups.moment("2026-01-03 12:00:00+00:00"))
    assert ids(backups.chain(WEEK, chosen)) == [1, 2, 3]
    assert ids([backups.choose(WEEK, None)]) == [7]
    during = backups.moment("2026-01-04 00:04:59+00:00")
    assert ids([backups.choose(WEEK, during)]) == [3], "a backup can not be left before its own end"


def test_a_target_before_all_backups_or_a_missing_parent_is_refused() -> None:
    with pytest.raises(cluster.Failed, match="the oldest backup was complete at 2026-01-01 00:05:00"):
        backups.choose(WEEK, backups.moment("2026-01-01 00:00:00+00:00"))
    with pytest.raises(cluster.Failed, match="its parent 20260101T000000Z is missing"):
        backups.chain(WEEK[1:], WEEK[2])


@pytest.mark.parametrize("text", ["noon", "2026-01-01", "2026-01-01 12:00:00", ""])
def test_a_target_without_its_offset_from_utc_is_refused(text: str) -> None:
    with pytest.raises(cluster.Failed, match="must be a time with its offset from UTC"):
        backups.moment(text)


def test_a_target_in_another_zone_is_the_same_moment() -> None:
    assert backups.moment("2026-01-01 13:00:00+01:00") == datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("there", "full_every", "parent"),
    [([], 3, None), (WEEK[:1], 3, 1), (WEEK[:2], 3, 2), (WEEK[:3], 3, None), (WEEK[:1], 1, None), (WEEK, 7, 7)],
)
def test_every_so_many_backups_one_is_full(there: list, full_every: int, parent: int | None) -> None:  # type: ignore[type-arg]
    found = backups.parent_of_next(there, full_every)
    assert (ids([found])[0] if found else None) == parent


@pytest.mark.parametrize(("keep", "gone"), [(1, [1, 2, 3, 4, 5]), (2, [1, 2, 3]), (3, []), (9, [])])
def test_retention_never_leaves_a_backup_without_its_parents(keep: int, gone: list[int]) -> None:
    found = backups.outdated(WEEK, keep)
    assert ids(found) == gone
    left = [each for each in WEEK if each not in found]
    for each in left:
        backups.chain(left, each)


@pytest.mark.parametrize(
    ("now", "begun", "due"),
    [
        ("2026-01-02 02:29", [], True),  # none ever
        ("2026-01-02 02:29", ["2026-01-01 02:31"], False),
        ("2026-01-02 02:30", ["2026-01-01 02:31"], True),
        ("2026-01-02 02:31", ["2026-01-01 02:31", "2026-01-02 02:30"], False),
        ("2026-01-09 23:00", ["2026-01-01 02:31"], True),  # missed while nothing ran
    ],
)
def test_the_backup_of_the_day_is_taken_once_and_made_up_for(now: str, begun: list[str], due: bool) -> None:
    moments = [datetime.datetime.fromisoformat(f"{text}:00+00:00") for text in [now, *begun]]
    assert schedule.is_due(moments[0], 2, 30, moments[1:]) is due


def test_wal_goes_only_before_the_beginning_of_the_oldest_backup_whatever_its_timeline() -> None:
    names = [
        "000000010000000000000002",
        "000000010000000000000003",
        "000000020000000000000002",
        "000000020000000000000003.partial",
        "000000020000000100000000",
        "00000002.history",
    ]
    there = [record(1, megabytes=48 + 5), record(2, 1, megabytes=90)]  # in the segment with number 3
    assert backups.unneeded_wal(names, there) == ["000000010000000000000002", "000000020000000000000002"]
    assert backups.unneeded_wal(names, []) == []


def test_what_the_new_timeline_did_not_go_on_with_leaves_the_archive() -> None:
    history = wal_archive.parse_history("1\t0/3000100\tno recovery target specified\n\n2\t0/5000000\tbefore 2026\n")
    assert history == {1: 0x3000100, 2: 0x5000000}
    names = [
        "000000010000000000000002",
        "000000010000000000000003",  # the timeline ended in it, and goes on in 00000002...03
        "000000010000000000000004",
        "000000020000000000000003",
        "000000020000000000000004",
        "000000020000000000000005.partial",
        "000000030000000000000005",
        "000000040000000000000004",
        "00000002.history",
        "00000003.history",
        "00000004.history",
        "another file",
    ]
    assert wal_archive.left_the_history(names, 3, history) == [
        "000000010000000000000003",
        "000000010000000000000004",
        "000000020000000000000005.partial",
        "00000004.history",
        "000000040000000000000004",
    ]


def test_the_wal_of_another_database_is_never_mixed_in(tmp_path) -> None:  # type: ignore[no-untyped-def]
    wal_archive.refuse_another("71", tmp_path / "system_identifier")
    wal_archive.refuse_another("71", tmp_path / "system_identifier")
    with pytest.raises(wal_archive.AnotherCluster, match=r"system identifier 71, not 72.*restore\.yml"):
        wal_archive.refuse_another("72", tmp_path / "system_identifier")


def test_no_checksum_is_noted_while_a_transaction_may_be_written_and_not_visible(postgres: PostgresServer) -> None:
    dsn = postgres.dsn(postgres.create_database())
    login = psycopg2.extensions.parse_dsn(dsn)
    with closing(psycopg2.connect(dsn)) as writer:
        writer.cursor().execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 3) AS n")
        assert checksums.checksums_at_lsn(login, 0.5) is None
        writer.commit()
    before, lsn = checksums.checksums_at_lsn(login, 10)
    assert before["public.kept"][0] == 3
    assert lsn.count("/") == 1
    with closing(psycopg2.connect(dsn)) as writer:
        writer.cursor().execute("UPDATE kept SET n = 4 WHERE n = 3")
        writer.commit()
    (difference,) = checksums.differences(before, checksums.checksums(login))
    assert difference.startswith("public.kept: 3 rows with checksum ")


def test_a_commit_between_the_end_of_the_wal_and_the_snapshot_is_not_taken_for_older(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    dsn = postgres.dsn(postgres.create_database())
    ask, committed_at = checksums._one, []

    def commit_meanwhile(cursor, sql):  # type: ignore[no-untyped-def]
        found = ask(cursor, sql)
        if sql == checksums.WRITERS and not committed_at:
            with closing(psycopg2.connect(dsn)) as writer:
                writer.cursor().execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 3) AS n")
                writer.commit()
                committed_at.append(ask(writer.cursor(cursor_factory=RealDictCursor), checksums.END)["lsn"])
        return found

    monkeypatch.setattr(checksums, "_one", commit_meanwhile)
    found, lsn = checksums.checksums_at_lsn(psycopg2.extensions.parse_dsn(dsn), 10)
    assert found["public.kept"][0] == 3
    assert backups.lsn_bytes(lsn) >= backups.lsn_bytes(committed_at[0])


def test_a_checksum_does_not_depend_on_the_order_of_the_rows(postgres: PostgresServer) -> None:
    found = []
    for order in ("ASC", "DESC"):
        dsn = postgres.dsn(postgres.create_database())
        with closing(psycopg2.connect(dsn)) as connection:
            connection.cursor().execute(
                f"CREATE TABLE kept AS SELECT n, n::text AS words FROM generate_series(1, 50) AS n ORDER BY n {order}"
            )
            connection.commit()
        found.append(checksums.checksums(psycopg2.extensions.parse_dsn(dsn)))
    assert found[0] == found[1]

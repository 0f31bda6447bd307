"""What is in the tables of a database: rows and a checksum of each, and of which moment that is the exact state."""

import contextlib
import time

import psycopg2
import psycopg2.extras

TABLES = """
    SELECT format('%I.%I', nspname, relname) AS name
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND relpersistence = 'p' AND nspname <> 'information_schema' AND nspname !~ '^pg_'
    ORDER BY name
"""
# The sum does not depend on the order of the rows.
CHECKSUM = "SELECT count(*) AS rows, COALESCE(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS sum FROM {} AS t"
QUIET = """
    SELECT pg_current_wal_insert_lsn()::text AS lsn, pg_snapshot_xmin(s) = pg_snapshot_xmax(s) AS nobody_writes
    FROM pg_current_snapshot() AS s
"""


def checksums(login):
    """By table: [rows, checksum]."""
    with _snapshot(login) as cursor:
        return _read(cursor)


def checksums_at_lsn(login, seconds):
    """(checksums, the LSN whose state they are); None where within so many seconds no moment is quiet enough.

    Exact: nothing was written to the WAL from before the snapshot until after it, and no transaction was under way that
    may have been written already and not be visible yet. So a recovery that ends before the LSN shows the same rows.
    """
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        with contextlib.closing(psycopg2.connect(**login)) as connection:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                cursor.execute("SELECT pg_current_wal_insert_lsn()::text AS lsn")
                before = cursor.fetchone()["lsn"]
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                cursor.execute(QUIET)
                found = cursor.fetchone()
                if found["nobody_writes"] and found["lsn"] == before:
                    return _read(cursor), before
    return None


@contextlib.contextmanager
def _snapshot(login):
    with contextlib.closing(psycopg2.connect(**login)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            yield cursor


def _read(cursor):
    cursor.execute(TABLES)
    found = {}
    for name in [row["name"] for row in cursor.fetchall()]:
        cursor.execute(CHECKSUM.format(name))
        row = cursor.fetchone()
        found[name] = [row["rows"], row["sum"]]
    return found


def differences(expected, found):
    """A sentence for each table that is not the same."""
    return [
        f"{name}: {_words(expected.get(name))} expected, {_words(found.get(name))} found"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _words(table):
    return f"{table[0]} rows with checksum {table[1]}" if table else "no such table"

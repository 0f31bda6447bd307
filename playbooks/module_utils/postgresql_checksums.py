"""What is in the tables of a database: rows and a checksum of each, and of which moment that is the exact state."""

import contextlib
import time

import psycopg2
import psycopg2.extras

PAUSE_SECONDS = 0.005

TABLES = """
    SELECT format('%I.%I', nspname, relname) AS name
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind = 'r' AND relpersistence = 'p' AND nspname <> 'information_schema' AND nspname !~ '^pg_'
    ORDER BY name
"""
# The sum does not depend on the order of the rows.
CHECKSUM = "SELECT count(*) AS rows, COALESCE(sum(hashtextextended(t::text, 0)::numeric), 0)::text AS sum FROM {} AS t"
END = "SELECT pg_current_wal_insert_lsn()::text AS lsn"
# A transaction holds the lock of its number from before its first record in the WAL until after it is visible.
WRITERS = "SELECT count(*) AS number FROM pg_locks WHERE locktype = 'transactionid' AND granted"


def checksums(login):
    """By table: [rows, checksum]."""
    with _snapshot(login) as cursor:
        return _read(cursor)


def checksums_at_lsn(login, seconds):
    """(checksums, the LSN whose state they are); None where within so many seconds no moment is quiet enough.

    Exact, because of three questions in this order: where the WAL ends; whether a transaction is under way, which may
    be in the WAL already and not be visible yet; and, with the snapshot taken, whether the WAL still ends there. So
    what is before the LSN is visible, what is visible is before it, and a recovery that ends there shows the same rows.
    """
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        with contextlib.closing(psycopg2.connect(**login)) as connection:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                before = _one(cursor, END)["lsn"]
                writers = _one(cursor, WRITERS)["number"]
                cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                after = _one(cursor, END)["lsn"]  # the first statement takes the snapshot, and then answers
                if not writers and after == before:
                    return _read(cursor), before
        time.sleep(PAUSE_SECONDS)
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
        row = _one(cursor, CHECKSUM.format(name))
        found[name] = [row["rows"], row["sum"]]
    return found


def _one(cursor, sql):
    cursor.execute(sql)
    return cursor.fetchone()


def differences(expected, found):
    """A sentence for each table that is not the same."""
    return [
        f"{name}: {_words(expected.get(name))} expected, {_words(found.get(name))} found"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    ]


def _words(table):
    return f"{table[0]} rows with checksum {table[1]}" if table else "no such table"

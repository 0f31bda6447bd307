"""A pool of threads with one connection each, and the session they lend to a unit of work."""

import asyncio
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, TypeVar

import peewee
from psycopg2.errors import QueryCanceled

from catalog_server.db.connection import connect_lazily
from catalog_server.db.deadline import deadline
from catalog_server.db.dialect import Dialect
from catalog_server.db.errors import CONNECTION_ERRORS, DatabaseUnavailable, DeadlineExceeded
from catalog_server.observability import metrics

T = TypeVar("T")
Row = Any  # a named tuple with the columns of the statement


class Session:
    """One connection, lent to one thread for one unit of work."""

    def __init__(self, database: peewee.Database, dialect: Dialect) -> None:
        self.peewee = database  # for Peewee's query builder: `query.execute(session.peewee)`
        self.dialect = dialect

    def execute(self, sql: str, **parameters: Any) -> int:
        """Runs a statement; returns the number of rows it changed."""
        return int(self._cursor(sql, parameters).rowcount)

    def rows(self, sql: str, **parameters: Any) -> list[Row]:
        """Runs a statement that returns rows (SELECT, or RETURNING)."""
        cursor = self._cursor(sql, parameters)
        if not cursor.description:
            return []
        row_type = _row_type(tuple(column[0] for column in cursor.description))
        return [row_type(*values) for values in cursor.fetchall()]

    def row(self, sql: str, **parameters: Any) -> Row | None:
        """The first row, or None."""
        rows = self.rows(sql, **parameters)
        return rows[0] if rows else None

    def scalar(self, sql: str, **parameters: Any) -> Any:
        """The first column of the first row, or None."""
        row = self.row(sql, **parameters)
        return row[0] if row else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. On SQLite the write lock is taken at once, so that reads inside stay true."""
        arguments = ("IMMEDIATE",) if self.dialect.name == "sqlite" else ()
        with self.peewee.atomic(*arguments):
            yield

    def _cursor(self, sql: str, parameters: dict[str, Any]) -> Any:
        return self.peewee.execute_sql(self.dialect.statement(sql), parameters)


class Database:
    """A bounded pool for one purpose.

    Invariant: a thread of the pool has at most one connection and no other thread uses it, so at most `size`
    connections exist and a unit of work never sees another's transaction.
    """

    def __init__(
        self,
        dsn: str,
        *,
        purpose: str,
        size: int,
        deadline_seconds: float,
        connect_timeout_seconds: float,
        read_only: bool = False,
    ) -> None:
        self.purpose = purpose
        self.deadline_seconds = deadline_seconds
        self.size = size
        self.dialect = Dialect("sqlite" if dsn.startswith("sqlite:") else "postgresql")
        self._peewee = connect_lazily(
            dsn,
            purpose=purpose,
            deadline_seconds=deadline_seconds,
            connect_timeout_seconds=connect_timeout_seconds,
            read_only=read_only,
        )
        self._threads = ThreadPoolExecutor(max_workers=size, thread_name_prefix=f"db-{purpose}")
        self._exit_barrier = threading.Barrier(size)
        metrics.POOL_SIZE.labels(purpose).set(size)

    async def run(self, work: Callable[[Session], T], *, deadline_seconds: float | None = None) -> T:
        """Runs `work(session)` in a pool thread; each statement commits by itself.

        The deadline counts from this call, so time spent waiting for a free thread is part of it.
        Raises `DeadlineExceeded` or `DatabaseUnavailable`; other errors of the work pass through.
        """
        seconds = self.deadline_seconds if deadline_seconds is None else deadline_seconds
        loop = asyncio.get_running_loop()
        expires_at = loop.time() + seconds
        gauge = metrics.POOL_IN_USE.labels(self.purpose)

        def in_thread() -> T:
            left = expires_at - loop.time()
            if left <= 0:
                raise DeadlineExceeded(f"no free connection in pool {self.purpose!r} within {seconds:g} s")
            with gauge.track_inprogress(), self.session(left) as session:
                return work(session)

        return await loop.run_in_executor(self._threads, in_thread)

    async def transaction(self, work: Callable[[Session], T], *, deadline_seconds: float | None = None) -> T:
        """Like `run`, with all of the work in one transaction; an exception rolls it back."""

        def in_transaction(session: Session) -> T:
            with session.transaction():
                return work(session)

        return await self.run(in_transaction, deadline_seconds=deadline_seconds)

    @contextmanager
    def session(self, deadline_seconds: float | None = None) -> Iterator[Session]:
        """This thread's connection, for synchronous callers: the command line, migrations, pool threads."""
        seconds = self.deadline_seconds if deadline_seconds is None else deadline_seconds
        try:
            with deadline(seconds):
                self._discard_unless_usable()
                self._peewee.connect(reuse_if_open=True)
                yield Session(self._peewee, self.dialect)
        except DeadlineExceeded:
            self._discard()
            metrics.DEADLINES_MISSED.labels(self.purpose).inc()
            raise
        except CONNECTION_ERRORS as error:
            if isinstance(error.__context__, QueryCanceled):  # the server's half of the deadline came first
                metrics.DEADLINES_MISSED.labels(self.purpose).inc()
                self._discard()
                raise DeadlineExceeded("the database did not finish within the deadline") from error
            if self._peewee.is_closed() or not self._peewee.is_connection_usable():
                self._discard()
                raise DatabaseUnavailable(" ".join(str(error).split())) from error
            raise

    def close_this_thread(self) -> None:
        """Closes the connection that the calling thread used through `session`."""
        self._discard()

    def close(self) -> None:
        """Ends the threads and their connections. Work that is still running ends at its deadline."""

        def close_after_all_arrived() -> None:
            # Only its own thread can close a connection, so each thread gets exactly one of these.
            try:
                self._exit_barrier.wait(self.deadline_seconds)
            except threading.BrokenBarrierError:
                pass  # some thread is still at work; the others need not wait for it
            finally:
                self._discard()

        for _ in range(self.size):
            self._threads.submit(close_after_all_arrived)
        self._threads.shutdown(wait=True)

    def _discard_unless_usable(self) -> None:
        if not self._peewee.is_closed() and not self._peewee.is_connection_usable():
            self._discard()

    def _discard(self) -> None:
        """Closes this thread's connection, whatever state it is in, and forgets it."""
        if self._peewee.is_closed():
            return
        connection = self._peewee.connection()
        self._peewee.dispose()
        with suppress(Exception):  # already gone: that is what is wanted
            connection.close()


@lru_cache(maxsize=512)
def _row_type(columns: tuple[str, ...]) -> Any:
    return namedtuple("Row", columns, rename=True)

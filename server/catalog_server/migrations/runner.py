"""The runner: takes the lock, reads what is pending, applies it, lets go."""

import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import peewee

from catalog_server.db import Database, DatabaseUnavailable
from catalog_server.db.connection import sqlite_path
from catalog_server.db.deadline import stoppable
from catalog_server.migrations import history
from catalog_server.migrations.apply import Applier
from catalog_server.migrations.errors import (
    DowngradeRefused,
    IncompatibleSchema,
    LockUnavailable,
    MigrationError,
    MigrationStopped,
    NotWritable,
    PooledConnection,
)
from catalog_server.migrations.lock import AdvisoryLock, FileLock, MigrationLock, find_holder
from catalog_server.migrations.preconditions import USE_DIRECT_ADDRESS, refuse_pooler, refuse_unless_writable
from catalog_server.migrations.status import SchemaStatus, read_status
from catalog_server.migrations.version import Version
from catalog_server.migrations.versions import VERSIONS

CALL_SECONDS = 10.0  # every statement but those of a version
POLL_SECONDS = 0.5  # longest pause between two looks at the lock


class Runner:
    """Brings one database's schema to a version. Synchronous; use a runner from one thread.

    `wait_seconds` bounds the wait for the lock (or for another replica's migration), `version_seconds` a
    single version, `lock_timeout_seconds` one wait for a table that others use, after which the version is
    tried again. `progress` is told in words what happens. Setting `stopped` ends `upgrade`,
    `wait_until_current` and `downgrade` within a second, with `MigrationStopped`.

    All methods raise `MigrationError` or `DatabaseUnavailable`.
    """

    def __init__(
        self,
        dsn: str,
        *,
        versions: Sequence[Version] = VERSIONS,
        wait_seconds: float = 300.0,
        connect_timeout_seconds: float = 5.0,
        version_seconds: float = 3600.0,
        lock_timeout_seconds: float = 3.0,
        identity: str | None = None,
        progress: Callable[[str], None] = lambda message: None,
        stopped: threading.Event | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._versions = versions
        self._wait_seconds = wait_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._version_seconds = version_seconds
        self._lock_timeout_seconds = lock_timeout_seconds
        self._identity = identity or f"{socket.gethostname()}/{os.getpid()}"
        self._tell = progress
        self._told = ""
        self._stopped = stopped or threading.Event()
        self._clock = clock

    def status(self) -> SchemaStatus:
        """What is applied, what is pending and who migrates."""
        with self._connected() as database:
            return self._status(database)

    def check(self) -> None:
        """Raises unless this server can run on the schema as it is now."""
        problem = self.status().problem
        if problem is not None:
            raise problem

    def check_address(self) -> None:
        """Raises unless migrations can be applied through this address."""
        with self._connected() as database:
            self._refuse_unsuitable(database)

    def upgrade(self) -> list[Version]:
        """Applies every pending version; returns those that this runner applied, in order."""
        with self._connected() as database:
            if not self._accepted(database).pending:
                return []
            self._refuse_unsuitable(database)
            with self._lock_held(database) as lock:
                with database.session() as session, session.transaction():
                    lock.verify(session)
                    history.create(session)
                # Invariant: what is pending is read under the lock; before it, others may have applied it.
                pending = self._accepted(database).pending
                applier = self._applier(database, lock)
                for version in pending:
                    applier.upgrade(version)
                return list(pending)

    def wait_until_current(self) -> None:
        """Returns once another has applied every version this server knows."""
        give_up_at = self._clock() + self._wait_seconds
        with self._connected() as database:
            while (status := self._accepted(database)).problem is not None:
                if self._clock() >= give_up_at:
                    raise status.problem
                self._progress(f"waiting: {status.problem.problem}")
                self._pause()

    def downgrade(self, target: int, *, replica_timeout_seconds: float = 10.0) -> list[Version]:
        """Takes versions above `target` back, newest first; returns them.

        Refused while a replica seen within `replica_timeout_seconds` knows a version above `target`: a server
        does not run on a schema older than its head.
        """
        with self._connected() as database:
            self._refuse_unsuitable(database)
            with self._lock_held(database) as lock:
                status = self._accepted(database)
                if status.newer:
                    raise IncompatibleSchema(
                        f"version {status.newer[-1]} is applied, which only a newer server can take back",
                        "Use db downgrade of the server that applied it",
                    )
                if not 0 <= target <= status.current:
                    raise DowngradeRefused(
                        f"the database is at version {status.current}, so not taken back to {target}",
                        f"Name a version between 0 and {status.current}, or -1 for the one before",
                    )
                applier = self._applier(database, lock)
                leaving = [version for version in reversed(self._versions) if target < version.number <= status.current]
                for version in leaving:
                    applier.downgrade(version, target=target, replica_timeout_seconds=replica_timeout_seconds)
                return leaving

    @contextmanager
    def _connected(self) -> Iterator[Database]:
        """A connection of this thread's own, closed at the end: with it goes whatever lock it still holds."""
        database = self._database()
        try:
            with stoppable(self._stopped):
                yield database
        except DatabaseUnavailable as error:
            if self._stopped.is_set():
                raise MigrationStopped("stopped before the migration was done", "Start it again") from error
            if (refusal := _refused_by_database(error)) is not None:
                raise refusal from error
            raise
        except peewee.PeeweeException as error:
            raise _refused_by_database(error) or MigrationError(
                f"the database refused: {' '.join(str(error).split())}",
                "Mend what it names; mostly a privilege that the role lacks",
            ) from error
        finally:
            database.close_this_thread()
            database.close()

    def _database(self) -> Database:
        return Database(
            self._dsn,
            purpose="migrations",
            size=1,
            deadline_seconds=CALL_SECONDS,
            connect_timeout_seconds=self._connect_timeout_seconds,
        )

    def _status(self, database: Database) -> SchemaStatus:
        with database.session() as session:
            return read_status(session, self._versions)

    def _accepted(self, database: Database) -> SchemaStatus:
        status = self._status(database)
        if status.refusal is not None:
            raise status.refusal
        return status

    def _refuse_unsuitable(self, database: Database) -> None:
        with database.session() as session:
            refuse_unless_writable(session)
            if database.dialect.name == "postgresql":
                with self._connected() as second, second.session() as other:
                    refuse_pooler(session, other)

    @contextmanager
    def _lock_held(self, database: Database) -> Iterator[MigrationLock]:
        lock: MigrationLock
        if database.dialect.name == "sqlite":
            lock = FileLock(sqlite_path(self._dsn), self._identity)
        else:
            lock = AdvisoryLock(self._identity, statement_seconds=self._version_seconds)
        self._acquire(database, lock)
        try:
            yield lock
        except BaseException:
            lock.abandon()  # a session lock goes with its connection
            raise
        with database.session() as session:
            lock.release(session)

    def _acquire(self, database: Database, lock: MigrationLock) -> None:
        """Polls for the lock. Between two looks no statement and no transaction is open."""
        started_at = self._clock()
        while True:
            with database.session() as session:
                if lock.try_acquire(session):
                    return
                holder = find_holder(session)
            if self._clock() - started_at >= self._wait_seconds:
                held_by = holder or "others in turn"
                raise LockUnavailable(
                    f"the migration lock was held for {self._wait_seconds:g} s by {held_by}",
                    "Wait for it, or end that process if it hangs, then try again",
                )
            self._progress(f"waiting for the migration lock, held by {holder or 'others in turn'}")
            self._pause()

    def _progress(self, message: str) -> None:
        """Tells news only: a wait of minutes is one line, not one for each look at the lock."""
        if message != self._told:
            self._told = message
            self._tell(message)

    def _pause(self) -> None:
        # Jitter, so that replicas that were started together do not look together.
        if self._stopped.wait(POLL_SECONDS * random.uniform(0.2, 1)):  # noqa: S311
            raise MigrationStopped("stopped before the migration was done", "Start it again")

    def _applier(self, database: Database, lock: MigrationLock) -> Applier:
        return Applier(
            database,
            lock,
            identity=self._identity,
            version_seconds=self._version_seconds,
            lock_timeout_seconds=self._lock_timeout_seconds,
            progress=self._progress,
            stopped=self._stopped,
            clock=self._clock,
        )


def _refused_by_database(error: Exception) -> MigrationError | None:
    """What the database's own words mean, where they have a remedy of their own."""
    text = " ".join(str(error).split())
    if any(words in text for words in ("read-only", "readonly", "unable to open database file")):
        return NotWritable(
            f"the database can not be written to: {text}",
            "Name the primary (or all hosts) in the address, or make the file writable",
        )
    if any(words in text for words in ("unsupported startup parameter", "statement pooling mode")):
        return PooledConnection(f"the address leads to a pooler, which says: {text}", USE_DIRECT_ADDRESS)
    return None


def upgrade_to_head(dsn: str) -> None:
    """Applies every version this server knows: for tests and small tools."""
    Runner(dsn).upgrade()

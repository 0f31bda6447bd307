"""Brings the schema to where this server needs it, as the setting `migrations` says, however long it takes."""

import asyncio
import logging
import threading

from catalog_server.config import Settings
from catalog_server.db.errors import DatabaseUnavailable
from catalog_server.db.sqlite_lock import SecondReplicaRefused, SqliteReplicaLock
from catalog_server.migrations import MigrationError, Runner

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
REFUSED_RETRY_MAX_SECONDS = 30.0  # a version that fails is not tried again and again on a busy database


class SchemaKeeper:
    """Applies or awaits migrations at start-up. Its state is shown by readiness, never raised."""

    def __init__(self, settings: Settings, identity: str) -> None:
        self._settings = settings
        self._identity = identity
        self._stopped = threading.Event()
        self._lock: SqliteReplicaLock | None = None
        self.progress: str | None = None  # what the migration is doing or waiting for
        self.refusal: str | None = None  # why this replica may not use the database at all

    async def prepare(self) -> None:
        """Returns once the schema fits this server; until then tries again, since the cause may be mended."""
        pause_seconds = RETRY_SECONDS
        while True:
            try:
                if self._settings.is_sqlite and self._lock is None:
                    self._lock = self._acquire_sqlite_lock()
                    self.refusal = None
                await asyncio.to_thread(self._migrate)
                self.progress = None
                return
            except SecondReplicaRefused as error:
                self.refusal = str(error)
                log.error("refused: %s", error)
            except DatabaseUnavailable as error:
                self.progress = str(error)
                log.warning("the schema can not be looked at: %s", error)
                pause_seconds = RETRY_SECONDS
            except MigrationError as error:
                self.progress = str(error)
                log.error("the schema is not ready: %s", error)
                pause_seconds = min(2 * pause_seconds, REFUSED_RETRY_MAX_SECONDS)
            await asyncio.sleep(pause_seconds)

    def stop(self) -> None:
        """Ends a migration's waits, so that shutdown need not wait for them, and frees a SQLite database."""
        self._stopped.set()
        if self._lock is not None:
            self._lock.release()

    def _migrate(self) -> None:
        settings = self._settings
        runner = Runner(
            settings.direct_dsn,
            wait_seconds=settings.migrations_wait_seconds,
            connect_timeout_seconds=settings.database_connect_timeout_seconds,
            identity=self._identity,
            progress=self._report,
            stopped=self._stopped,
        )
        if settings.migrations == "auto":
            runner.upgrade()
        elif settings.migrations == "wait":
            runner.wait_until_current()
        else:
            runner.check()

    def _report(self, message: str) -> None:
        self.progress = message
        log.info("migrations: %s", message)

    def _acquire_sqlite_lock(self) -> SqliteReplicaLock:
        from catalog_server.db.connection import sqlite_path

        lock = SqliteReplicaLock(sqlite_path(self._settings.database_dsn.get_secret_value()))
        lock.acquire()
        return lock

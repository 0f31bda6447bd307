"""Applies one version, or takes it back, on behalf of the holder of the migration lock."""

import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import peewee

from catalog_server import replicas
from catalog_server.db import Database, DatabaseUnavailable, Session
from catalog_server.migrations import history
from catalog_server.migrations.errors import DowngradeRefused, MigrationStopped, VersionFailed
from catalog_server.migrations.lock import MigrationLock
from catalog_server.migrations.version import Version, statements

LOCK_ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.25
LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED = "55P03", "40P01"


class Applier:
    """Changes the schema one version at a time; the invariant of each change is at `_step`."""

    def __init__(
        self,
        database: Database,
        lock: MigrationLock,
        *,
        identity: str,
        version_seconds: float,
        lock_timeout_seconds: float,
        progress: Callable[[str], None],
        stopped: threading.Event,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._lock = lock
        self._identity = identity
        self._version_seconds = version_seconds
        self._lock_timeout_seconds = lock_timeout_seconds
        self._progress = progress
        self._stopped = stopped
        self._clock = clock

    def upgrade(self, version: Version) -> None:
        """Applies the version and records it. Raises `VersionFailed`, which names it."""
        started_at = self._clock()

        def record(session: Session) -> None:
            history.add(session, version, applied_by=self._identity, duration_ms=self._since_ms(started_at))

        self._progress(f"applying {version}")
        self._retry_while_locked(version, lambda: self._step(version, version.upgrade, record))
        self._progress(f"applied {version} in {self._since_ms(started_at)} ms")

    def downgrade(self, version: Version, *, target: int, replica_timeout_seconds: float) -> None:
        """Takes the version back, on the way to `target`, and forgets it.

        Raises `DowngradeRefused` while a running replica needs any version above the target.
        """
        started_at = self._clock()

        def step() -> None:
            with self._database.session() as session:
                _refuse_while_needed(session, target, replica_timeout_seconds)
            self._step(version, version.downgrade, lambda session: history.remove(session, version))

        self._progress(f"taking back {version}")
        self._retry_while_locked(version, step)
        self._progress(f"took back {version} in {self._since_ms(started_at)} ms")

    def _step(self, version: Version, sql: Mapping[str, str], record: Callable[[Session], None]) -> None:
        """Invariant: only the session that holds the lock changes the schema, and the history with it.

        A transactional version and its row are one transaction. Of any other the row is written last, and its
        statements can be repeated.
        """
        script = sql[self._database.dialect.name]
        with self._database.session(self._version_seconds) as session:
            if version.transactional or session.dialect.name == "sqlite":
                with session.transaction():
                    self._lock.verify(session)
                    self._bound_lock_waits(session)
                    _run(session, script)
                    record(session)
            else:
                _drop_invalid_indexes(session, version)
                for statement in statements(script):
                    self._lock.verify(session)
                    _run(session, statement)
                with session.transaction():
                    self._lock.verify(session)
                    record(session)

    def _bound_lock_waits(self, session: Session) -> None:
        # ALTER TABLE queues behind a long query, and every other query queues behind it: wait shortly, often.
        # CREATE INDEX CONCURRENTLY needs no bound: nobody waits behind it.
        if session.dialect.name == "postgresql":
            session.rows(
                "SELECT set_config('lock_timeout', %(ms)s, true)",
                ms=f"{self._lock_timeout_seconds * 1000:.0f}",
            )

    def _retry_while_locked(self, version: Version, step: Callable[[], None]) -> None:
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                return step()
            except peewee.PeeweeException as error:
                if _sqlstate(error) not in (LOCK_NOT_AVAILABLE, DEADLOCK_DETECTED) or attempt == LOCK_ATTEMPTS:
                    raise self._failure(version, error) from error
                pause_seconds = FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
                self._progress(f"{version} waits for tables in use, attempt {attempt} of {LOCK_ATTEMPTS}")
                if self._stopped.wait(pause_seconds):
                    raise MigrationStopped(f"stopped before {version} was applied", "Start it again") from error
            except DatabaseUnavailable as error:
                if self._stopped.is_set():
                    raise
                raise VersionFailed(
                    f"the connection was lost during version {version}: {error}",
                    "Whether it took effect is in the history; run the migration again",
                ) from error

    def _failure(self, version: Version, error: Exception) -> VersionFailed:
        reason = " ".join(str(error).split())
        if version.transactional or self._database.dialect.name == "sqlite":
            return VersionFailed(
                f"version {version} failed and was rolled back: {reason}",
                "The schema is as it was before this version. Mend the cause and run the migration again",
            )
        return VersionFailed(
            f"version {version} failed: {reason}",
            "It is not transactional and may have left an index behind, which the next attempt replaces."
            " Mend the cause and run the migration again",
        )

    def _since_ms(self, started_at: float) -> int:
        return round((self._clock() - started_at) * 1000)


def _run(session: Session, script: str) -> None:
    database: Any = session.peewee
    if session.dialect.name == "sqlite":  # whose driver commits before it runs a script of several statements
        for statement in statements(script):
            database.execute_sql(statement)
    else:
        database.execute_sql(script.replace("%", "%%"))


def _drop_invalid_indexes(session: Session, version: Version) -> None:
    """CREATE INDEX CONCURRENTLY that was interrupted leaves an index that is kept up but never used."""
    for name in version.concurrent_indexes:
        invalid = session.scalar(
            "SELECT count(*) FROM pg_index WHERE indexrelid = to_regclass(%(name)s) AND NOT indisvalid",
            name=name,
        )
        if invalid:
            session.execute(f"DROP INDEX CONCURRENTLY {name}")


def _refuse_while_needed(session: Session, target: int, timeout_seconds: float) -> None:
    if not history.table_exists(session, "replicas"):
        return
    users = [
        replica for replica in replicas.alive(session, timeout_seconds=timeout_seconds) if replica.schema_head > target
    ]
    if users:
        names = ", ".join(f"{replica.name} ({replica.server_version})" for replica in users)
        raise DowngradeRefused(
            f"versions above {target:04d} are needed by running replicas: {names}",
            "Replace them by servers that know an older version, or stop them, then try again",
        )


def _sqlstate(error: BaseException) -> str | None:
    cause = error.__cause__ or error.__context__
    return getattr(cause, "pgcode", None)

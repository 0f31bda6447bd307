"""The migration lock: at most one session of all replicas changes the schema.

PostgreSQL: a session advisory lock. SQLite: a lock on a file beside the database.

Both are taken without waiting, in one short call; who waits calls again. A session that waits inside
pg_advisory_lock keeps a transaction open, CREATE INDEX CONCURRENTLY waits for every open transaction, and
the two wait for each other for ever.
"""

import fcntl
import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from catalog_server.db import Session
from catalog_server.migrations.errors import LockLost, NotWritable

ADVISORY_KEY = 0x6361_7461_6C6F_6731  # "catalog1": the same for every server, old and new
LOCK_FILE_SUFFIX = ".migrate.lock"
IDLE_HOLDER_SECONDS = 60  # the server ends the session of a holder that is paused or cut off for so long
_NAME_PREFIX = "migrating@"
_TIME_FORMAT = "%Y%m%dT%H%M%SZ"

_IS_OURS = f"""
    locktype = 'advisory' AND granted AND objsubid = 1
    AND classid = {ADVISORY_KEY >> 32} AND objid = {ADVISORY_KEY & 0xFFFF_FFFF}
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock, as far as it can be known, and since when."""

    identity: str
    where: str
    since: datetime | None

    def __str__(self) -> str:
        since = f" since {self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.since else ""
        return f"{self.identity} ({self.where}){since}"


class MigrationLock(Protocol):
    """What the runner needs of a lock."""

    def try_acquire(self, session: Session) -> bool: ...

    def verify(self, session: Session) -> None:
        """Raises `LockLost` unless the lock is held by this very session."""

    def release(self, session: Session) -> None:
        """Raises `LockLost` if there was nothing to release."""

    def abandon(self) -> None:
        """Lets go after a failure, when the session may be broken."""


class AdvisoryLock:
    """A session advisory lock of PostgreSQL; it ends with its session, so a dead holder blocks nobody."""

    def __init__(self, identity: str, *, statement_seconds: float) -> None:
        self._identity = identity
        self._statement_seconds = statement_seconds

    def try_acquire(self, session: Session) -> bool:
        """One look, never a wait; on success the session tells others who it is and since when."""
        if not session.scalar(f"SELECT pg_try_advisory_lock({ADVISORY_KEY})"):
            return False
        since = session.scalar("SELECT clock_timestamp()").astimezone(UTC)
        # The first characters of an identity tell more than the last, and PostgreSQL cuts at 63 bytes.
        name = f"{_NAME_PREFIX}{since:{_TIME_FORMAT}} {self._identity}".encode("ascii", "replace")[:63]
        settings = {
            "application_name": name.decode(),
            "statement_timeout": f"{self._statement_seconds * 1000:.0f}",
            # A holder that died, was paused or cut off gives the lock up: in mid-statement ...
            "client_connection_check_interval": "1s",
            # ... in mid-transaction, and between two.
            "idle_in_transaction_session_timeout": f"{IDLE_HOLDER_SECONDS}s",
            "idle_session_timeout": f"{IDLE_HOLDER_SECONDS}s",
        }
        for setting, value in settings.items():  # some are unknown to older servers
            session.rows(
                "SELECT set_config(name, %(value)s, false) FROM pg_settings WHERE name = %(name)s",
                name=setting,
                value=value,
            )
        return True

    def verify(self, session: Session) -> None:
        """Invariant: whoever changes the schema does so in the session that holds the lock."""
        if not session.scalar(f"SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND {_IS_OURS}"):
            raise LockLost(
                "the session that should change the schema does not hold the migration lock",
                "Nothing was changed; try again, with migrations_dsn set to the address of the server itself",
            )

    def release(self, session: Session) -> None:
        """Frees the lock and makes sure that it was held until now."""
        if not session.scalar(f"SELECT pg_advisory_unlock({ADVISORY_KEY})"):
            raise LockLost(
                "the migration lock was no longer held when it was to be released",
                "Look for a transaction pooler, and set migrations_dsn to the address of the server",
            )

    def abandon(self) -> None:
        """Nothing to do: the runner closes the session, and the lock ends with it."""


class FileLock:
    """A lock on a file beside the SQLite database; the kernel frees it when the holder dies."""

    def __init__(self, database_path: str, identity: str) -> None:
        self._path = database_path + LOCK_FILE_SUFFIX
        self._identity = identity
        self._descriptor: int | None = None

    def try_acquire(self, session: Session) -> bool:
        """One look, never a wait; on success the file tells others who holds it and since when."""
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise NotWritable(
                f"the lock file {self._path} can not be opened: {error.strerror}",
                "Let this user write to the folder of the SQLite database",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        about = {"identity": self._identity, "pid": os.getpid(), "since": datetime.now(UTC).isoformat()}
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(about).encode(), 0)
        self._descriptor = descriptor
        return True

    def verify(self, session: Session) -> None:
        """Invariant: whoever changes the schema is the process that holds the lock."""
        if self._descriptor is None:
            raise LockLost("the migration lock is not held", "Nothing was changed; try again")

    def release(self, session: Session) -> None:
        """Frees the lock. The file stays: removing it would let two holders lock two files of one name."""
        self.verify(session)
        self.abandon()

    def abandon(self) -> None:
        """Frees the lock if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def find_holder(session: Session) -> Holder | None:
    """Who holds the migration lock of the session's database now; None if nobody does."""
    if session.dialect.name == "sqlite":
        return _file_holder(session.peewee.database + LOCK_FILE_SUFFIX)
    row = session.row(
        f"""
        SELECT pid, application_name, client_addr::text, backend_start
        FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE {_IS_OURS}
        """
    )
    if row is None:
        return None
    where = f"pid {row.pid} of the database, client {row.client_addr or 'unknown'}"
    if row.application_name.startswith(_NAME_PREFIX):
        since, _, identity = row.application_name.removeprefix(_NAME_PREFIX).partition(" ")
        return Holder(identity, where, datetime.strptime(since, _TIME_FORMAT).replace(tzinfo=UTC))
    return Holder(row.application_name or "unknown", where, row.backend_start)


def _file_holder(path: str) -> Holder | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except BlockingIOError:
        try:
            about: dict[str, Any] = json.loads(os.pread(descriptor, 4096, 0))
        except ValueError:  # just taken, and not yet written
            return Holder("unknown", path, None)
        return Holder(about["identity"], f"pid {about['pid']}", datetime.fromisoformat(about["since"]))
    finally:
        os.close(descriptor)

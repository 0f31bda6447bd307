"""SQLite serves one replica: this lock refuses the second."""

import fcntl
import os

SUFFIX = ".replica.lock"


class SecondReplicaRefused(Exception):
    """Another replica uses this SQLite database; `problem` says so, `remedy` what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}. {remedy}")
        self.problem = problem
        self.remedy = remedy


class SqliteReplicaLock:
    """Held for the life of a replica. The kernel frees it when the process ends, however it ends."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Raises `SecondReplicaRefused` at once if another process, or another lock of this one, holds it."""
        if self._descriptor is not None:
            return
        try:
            descriptor = os.open(self._path + SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise SecondReplicaRefused(
                f"the lock file {self._path + SUFFIX} can not be opened ({error.strerror})",
                "Make the folder of the SQLite database, and let this user write to it",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise SecondReplicaRefused(
                f"the SQLite database {self._path} is in use by another replica (pid {holder or 'unknown'}),"
                " and SQLite serves only one",
                "Use PostgreSQL for several replicas: set database_dsn to postgresql://...",
            ) from None
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Lets another replica have the database; does nothing if the lock is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

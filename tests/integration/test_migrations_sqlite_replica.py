"""SQLite serves one replica; the second is told to use PostgreSQL."""

import subprocess
import sys
from pathlib import Path

import pytest

from catalog_server.db.sqlite_lock import SecondReplicaRefused, SqliteReplicaLock

HOLD = (
    "import sys; from catalog_server.db.sqlite_lock import SqliteReplicaLock;"
    "SqliteReplicaLock(sys.argv[1]).acquire(); print('held', flush=True); sys.stdin.read()"
)


def test_a_second_replica_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    path = str(tmp_path / "catalog.db")
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    second = SqliteReplicaLock(path)
    try:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        with pytest.raises(SecondReplicaRefused, match=rf"pid {process.pid}.*Use PostgreSQL"):
            second.acquire()
    finally:
        process.kill()
        process.communicate()
    second.acquire()
    second.acquire()  # a holder may ask again
    second.release()


def test_a_released_lock_is_free(tmp_path: Path) -> None:
    first, second = (SqliteReplicaLock(str(tmp_path / "catalog.db")) for _ in range(2))
    first.acquire()
    with pytest.raises(SecondReplicaRefused):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SecondReplicaRefused, match=r"missing/catalog\.db.*Make the folder"):
        SqliteReplicaLock(str(tmp_path / "missing" / "catalog.db")).acquire()

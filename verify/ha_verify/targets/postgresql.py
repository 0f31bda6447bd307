"""PostgreSQL of a deployment, asked and troubled by SQL as its superuser, past all replicas and proxies."""

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import psycopg2
import psycopg2.extensions
import psycopg2.extras

from ha_verify.targets.target import NotPossible

Parameters = Sequence[Any] | Mapping[str, Any]

OURS = "ha-verify"  # the application_name of all our sessions: they are no replica's
CONNECT_SECONDS = 5
STATEMENT_MS = 15_000
SESSION_SECONDS = 20.0  # for all of a session: a server that is paused obeys no limit of its own
RECOVERY_SECONDS = 60.0  # from a crash to the first answer
POLL_SECONDS = 0.1
MAX_HELD = 2000

Action = Literal["restart", "crash", "stop", "start", "pause", "resume"]


class PostgreSQL:
    """Blocking: targets call it in threads. Each call has a session of its own and a time limit.

    Subclasses say how to log in.
    """

    def __init__(self) -> None:
        self._held: list[Any] = []

    def superuser_dsn(self) -> str:
        raise NotImplementedError

    def application_dsn(self) -> str:
        """Of the role that the replicas have, by an address that we can reach."""
        raise NotImplementedError

    def sql(self, query: str, parameters: Parameters = (), *, seconds: float = SESSION_SECONDS) -> list[dict[str, Any]]:
        """Raises `psycopg2.Error`, also where there is no answer within so many seconds."""
        with self._session(seconds) as cursor:
            cursor.execute(query, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor, whose statements are committed together at the end, or not at all. Raises `psycopg2.Error`."""
        with self._session() as cursor:
            cursor.execute("BEGIN")
            yield cursor
            cursor.execute("COMMIT")

    def wait_until_it_answers(self) -> None:
        """Raises `NotPossible` after `RECOVERY_SECONDS`."""
        give_up_at = time.monotonic() + RECOVERY_SECONDS
        while True:
            try:
                self.sql("SELECT 1")
                return
            except psycopg2.OperationalError as error:
                if time.monotonic() > give_up_at:
                    raise NotPossible(f"PostgreSQL does not answer after {RECOVERY_SECONDS:g} s: {error}") from error
            time.sleep(POLL_SECONDS)

    def terminate_backends(self) -> int:
        rows = self.sql(
            "SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) AS ended FROM pg_stat_activity"
            " WHERE backend_type = 'client backend' AND datname = current_database() AND application_name <> %s",
            [OURS],
        )
        return int(rows[0]["ended"])

    def exhaust_connections(self) -> int:
        """As the replicas' own role, until PostgreSQL refuses; returns how many connections are held."""
        while True:
            if len(self._held) > MAX_HELD:
                raise NotPossible(f"PostgreSQL accepts more than {MAX_HELD} connections: deploy it with fewer")
            try:
                self._held.append(self._connect(self.application_dsn()))
            except psycopg2.OperationalError as error:
                if "too many" in str(error) or "remaining connection slots" in str(error):
                    return len(self._held)
                raise NotPossible(f"PostgreSQL refused for another reason: {error}") from error

    def give_back_connections(self) -> None:
        for connection in self._held:
            with contextlib.suppress(psycopg2.Error):
                connection.close()
        self._held.clear()

    def empty(self) -> None:
        """Drops everything that the application has, its migration history included."""
        self.sql("DROP SCHEMA public CASCADE")
        self.sql("CREATE SCHEMA public AUTHORIZATION pg_database_owner")

    @contextlib.contextmanager
    def _session(self, seconds: float = SESSION_SECONDS) -> Iterator[Any]:
        connection = self._connect(self.superuser_dsn())
        try:
            connection.autocommit = True
            cursor_of = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
            with _hung_up_after(seconds, connection), cursor_of as cursor:
                yield cursor
        finally:
            connection.close()

    def _connect(self, dsn: str) -> Any:
        return psycopg2.connect(
            dsn,
            application_name=OURS,
            connect_timeout=CONNECT_SECONDS,
            options=f"-c statement_timeout={STATEMENT_MS}",
            # A paused server says nothing: the kernel notices what the statement's time limit can not.
            tcp_user_timeout=STATEMENT_MS,
        )


@contextlib.contextmanager
def _hung_up_after(seconds: float, connection: Any) -> Iterator[None]:
    """The kernel of a server that is paused goes on to answer for it, so the end of patience must come from here."""
    with socket.socket(fileno=os.dup(connection.fileno())) as line:

        def hang_up() -> None:
            with contextlib.suppress(OSError):  # hung up already
                line.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

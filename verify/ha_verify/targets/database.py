"""PostgreSQL of the deployment: asked and broken as its superuser, past all replicas and proxies."""

import contextlib
import time
from collections.abc import Sequence
from typing import Any, Literal

import psycopg2
import psycopg2.extensions
import psycopg2.extras

from ha_verify.targets.deployed import Deployed
from ha_verify.targets.processes import Processes
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import NotPossible

PROGRAM = "postgresql"
OURS = "ha-verify"  # the application_name of all our sessions: they are no replica's
CONNECT_SECONDS = 5
STATEMENT_MS = 15_000
RECOVERY_SECONDS = 60.0  # from a crash to the first answer
POLL_SECONDS = 0.1
MAX_HELD = 2000

Action = Literal["restart", "crash", "stop", "start", "pause", "resume"]


class LocalDatabase:
    """Blocking: the target calls it in threads. Each call has a session of its own and a time limit."""

    def __init__(self, deployed: Deployed, supervisor: Supervisor, processes: Processes) -> None:
        self._deployed = deployed
        self._supervisor = supervisor
        self._processes = processes
        self._held: list[Any] = []

    def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Raises `psycopg2.Error`."""
        with self._session() as cursor:
            cursor.execute(query, parameters or None)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

    def act(self, action: Action) -> None:
        """`crash` kills all its processes at once, as a loss of power would; supervisord starts it again.

        `pause` stops all its processes: connections stay open and say nothing. `stop` and `start` return when it is
        stopped or answers; `restart` is both. Raises `NotPossible`.
        """
        if action in ("stop", "restart"):
            self.resume()  # who is stopped by a signal can not stop in an orderly way
            self._supervisor.stop(PROGRAM)
        if action in ("start", "restart"):
            self._supervisor.start(PROGRAM)
            self.wait_until_it_answers()
        if action == "crash":
            self._processes.signal(PROGRAM, "KILL")
        if action == "pause":
            self._processes.signal(PROGRAM, "STOP")
        if action == "resume":
            self.resume()

    def resume(self) -> None:
        if self._processes.is_stopped(PROGRAM):
            self._processes.signal(PROGRAM, "CONT")

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
                self._held.append(self._connect(self._deployed.application_dsn()))
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
    def _session(self) -> Any:
        connection = self._connect(self._superuser_dsn())
        try:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
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

    def _superuser_dsn(self) -> str:
        parameters = psycopg2.extensions.parse_dsn(self._deployed.application_dsn())
        return str(
            psycopg2.extensions.make_dsn(
                host="127.0.0.1",
                port=self._deployed.postgresql_port(),
                dbname=parameters["dbname"],
                user="postgres",
                password=self._deployed.secret("postgresql_superuser_password"),
            )
        )

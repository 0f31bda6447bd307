"""Peewee databases whose connections obey deadlines and find the read-write host."""

import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import peewee
import psycopg2
from psycopg2 import extensions

from catalog_server.db.deadline import deadline, install, is_readable, remaining_seconds
from catalog_server.db.errors import DatabaseUnavailable, DeadlineExceeded

install()

SQLITE_RETRY_SECONDS = 0.02


class PostgresqlDatabase(peewee.PostgresqlDatabase):
    """Peewee on psycopg2 with client-side deadlines and a search for the read-write host, or another `wanted` one.

    libpq tries the hosts of a DSN in order, but without a bound per host when it is driven asynchronously, as
    it must be for deadlines. So the hosts are tried here, each within `connect_timeout_seconds`, beginning
    with the one that answered last.

    Invariant: a host that was silent is tried last next time. A call whose deadline leaves time for one silent
    host only, as the election's does, would meet the same one for ever otherwise.
    """

    def __init__(
        self, dsn: str, *, connect_timeout_seconds: float, options: dict[str, str], wanted: str = "read-write"
    ) -> None:
        super().__init__(dsn, autoconnect=True)
        parameters = extensions.parse_dsn(dsn)
        hosts = parameters.pop("host", "").split(",")
        ports = parameters.pop("port", "5432").split(",")
        ports = ports * len(hosts) if len(ports) == 1 else ports
        self._hosts = list(zip(hosts, ports, strict=True))
        self._parameters = {"target_session_attrs": wanted} | parameters | options
        self._connect_timeout_seconds = connect_timeout_seconds

    def _connect(self) -> Any:
        errors: list[str] = []
        for index, host in enumerate(self._hosts.copy()):
            address = ":".join(host)
            whole_time = remaining_seconds() >= self._connect_timeout_seconds
            try:
                with deadline(self._connect_timeout_seconds):
                    connection = psycopg2.connect(host=host[0] or None, port=host[1], **self._parameters)
            except DeadlineExceeded:
                errors.append(f"{address}: no answer in {self._connect_timeout_seconds:g} s")
                # One that others left no time for was not silent.
                if whole_time or index == 0:
                    self._hosts = [*self._others(host), host]
            except psycopg2.OperationalError as error:
                errors.append(f"{address}: {' '.join(str(error).split())}")
            else:
                connection.autocommit = True
                self._hosts = [host, *self._others(host)]
                return connection
            if remaining_seconds() <= 0:
                break
        raise DatabaseUnavailable("; ".join(errors))

    def _others(self, host: tuple[str, str]) -> list[tuple[str, str]]:
        return [other for other in self._hosts if other != host]

    def is_connection_usable(self) -> bool:
        """True unless the connection is closed, in a transaction that failed, or hung up by the server."""
        if not super().is_connection_usable():
            return False
        return not is_readable(self._state.conn)


class SqliteDatabase(peewee.SqliteDatabase):
    """SQLite in WAL mode; a writer waits for the file lock no longer than its deadline."""

    def __init__(self, path: str, *, busy_timeout_seconds: float) -> None:
        super().__init__(
            path,
            pragmas={
                "journal_mode": "wal",
                "foreign_keys": 1,
                "busy_timeout": int(busy_timeout_seconds * 1000),
            },
        )
        self._busy_timeout_seconds = busy_timeout_seconds

    def _connect(self) -> sqlite3.Connection:
        # Setting WAL mode collides with another connection that opens or closes the file at this moment, and
        # is the one statement for which SQLite does not wait by itself.
        give_up_at = time.monotonic() + self._busy_timeout_seconds
        while True:
            try:
                connection: sqlite3.Connection = super()._connect()
                return connection
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= give_up_at:
                    raise
                time.sleep(SQLITE_RETRY_SECONDS)


def connect_lazily(
    dsn: str, *, purpose: str, deadline_seconds: float, connect_timeout_seconds: float, read_only: bool = False
) -> PostgresqlDatabase | SqliteDatabase:
    """The Peewee database for a DSN; it connects, per thread, on first use.

    With `read_only` any host will do unless the DSN says otherwise, and no statement can write, not even on a
    host that takes writes. Raises `DatabaseUnavailable` if the DSN can not be understood.
    """
    if dsn.startswith("sqlite:"):
        return SqliteDatabase(sqlite_path(dsn), busy_timeout_seconds=deadline_seconds)
    options: dict[str, Any] = {
        "application_name": f"catalog-server/{purpose}",
        # The server's half of the deadlines: work that the client gave up on ends as well, and a transaction
        # of a paused process does not keep its locks.
        "options": (
            f"-c statement_timeout={int(deadline_seconds * 1000)}"
            f" -c idle_in_transaction_session_timeout={int(deadline_seconds * 1000)}"
            f"{' -c default_transaction_read_only=on' if read_only else ''}"
        ),
    }
    try:
        return PostgresqlDatabase(
            dsn,
            connect_timeout_seconds=connect_timeout_seconds,
            options=options,
            wanted="any" if read_only else "read-write",
        )
    except (psycopg2.ProgrammingError, ValueError) as error:
        # libpq's message may quote the DSN's password.
        reason = re.sub(r"\"[^\"]*\"", '"..."', " ".join(str(error).split()))
        raise DatabaseUnavailable(f"the database address can not be understood: {reason}") from None


def sqlite_path(dsn: str) -> str:
    """The file of a `sqlite:///relative` or `sqlite:////absolute` DSN."""
    return str(Path(dsn.removeprefix("sqlite:///")))

"""Beside one member's PostgreSQL, in the mount namespace of its container: asks it whatever comes on standard input.

A line of JSON for each question, and one for each answer, in whatever order they are known. Each question has a session
of its own and a time limit that holds without the server's help. It comes in by the socket, as the user that it runs
as, and so needs no password.
"""

import contextlib
import json
import os
import socket
import sys
import threading
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg2
import psycopg2.extras

CONNECT_SECONDS = 2


def main() -> None:
    """Until the other side goes away."""
    telling = threading.Lock()

    def tell(question: dict[str, Any]) -> None:
        line = json.dumps({"id": question["id"]} | answer(question), default=_plain)
        with telling:
            print(line, flush=True)

    for line in sys.stdin:
        threading.Thread(target=tell, args=(json.loads(line),), daemon=True).start()


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """`rows` of the last statement; else an `error`, with whether it was `connected`, and whether anybody `listens`."""
    session: dict[str, Any] = question["session"]
    try:
        connection = psycopg2.connect(connect_timeout=CONNECT_SECONDS, **session)
    except psycopg2.Error as error:
        return {"error": _words(error), "connected": False, "listens": _listens(session)}
    try:
        connection.autocommit = True
        with socket.socket(fileno=os.dup(connection.fileno())) as line:
            patience = threading.Timer(question["seconds"], _hang_up, [line])
            patience.daemon = True
            patience.start()
            try:
                return {"rows": _rows(connection, question["statements"])}
            finally:
                patience.cancel()
    except psycopg2.Error as error:
        return {"error": _words(error), "connected": True, "listens": True}
    finally:
        connection.close()


def _rows(connection: Any, statements: list[list[Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
        for statement, parameters in statements:
            cursor.execute(statement, parameters or None)
            rows = [dict(row) for row in cursor.fetchall()] if cursor.description else []
    return rows


def _hang_up(line: socket.socket) -> None:
    with contextlib.suppress(OSError):  # hung up already
        line.shutdown(socket.SHUT_RDWR)


def _listens(session: dict[str, Any]) -> bool:
    """Also where it is stopped, and its kernel listens for it."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(CONNECT_SECONDS)
        try:
            caller.connect(f"{session['host']}/.s.PGSQL.{session.get('port', 5432)}")
        except (TimeoutError, BlockingIOError):  # too many wait already
            return True
        except OSError:
            return False
    return True


def _words(error: Exception) -> str:
    return str(error).strip() or "the connection ended"


def _plain(value: Any) -> Any:
    """What JSON has no type for, under a name that `console` knows it by."""
    if isinstance(value, datetime):
        return {"ha-verify:datetime": value.isoformat()}
    if isinstance(value, Decimal):
        return {"ha-verify:decimal": str(value)}
    return str(value)


if __name__ == "__main__":
    main()

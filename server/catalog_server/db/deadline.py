"""Client-side deadlines for psycopg2, which has none.

A frozen server, or a proxy in front of one, keeps the TCP connection alive, so that neither
statement_timeout (the server's) nor tcp_user_timeout (the kernel's) ends the wait. psycopg2 lets a program
do the waiting itself: with a wait callback installed, every statement runs on libpq's asynchronous API and
the callback polls the socket. Raising from the callback makes psycopg2 close the connection, so one that
missed its deadline can not be used again.

Invariant: no wait for a socket lasts beyond the deadline of the thread that waits.
"""

import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import extensions

from catalog_server.db.errors import DeadlineExceeded

STOP_LOOK_SECONDS = 0.25  # a stoppable call looks this often whether it was stopped

_local = threading.local()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Bounds all database calls of this thread within the block, together, to `seconds` from now.

    Nested deadlines only shorten. Raises `DeadlineExceeded` from the call that would wait longer.
    """
    outer: float | None = getattr(_local, "expires_at", None)
    expires_at = time.monotonic() + seconds
    _local.expires_at = expires_at if outer is None else min(outer, expires_at)
    try:
        yield
    finally:
        _local.expires_at = outer


@contextmanager
def stoppable(stopped: threading.Event) -> Iterator[None]:
    """Database calls of this thread within the block end with `DeadlineExceeded` once the event is set.

    For calls with long deadlines, so that a process that is told to stop need not wait for them.
    """
    outer: threading.Event | None = getattr(_local, "stopped", None)
    _local.stopped = stopped
    try:
        yield
    finally:
        _local.stopped = outer


def remaining_seconds() -> float:
    """Seconds left to this thread; raises `RuntimeError` outside a deadline: every call must have one."""
    expires_at: float | None = getattr(_local, "expires_at", None)
    if expires_at is None:
        raise RuntimeError("a database call was made without a deadline")
    return expires_at - time.monotonic()


def _wait(connection: Any) -> None:
    stopped: threading.Event | None = getattr(_local, "stopped", None)
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        seconds = remaining_seconds()
        if seconds <= 0:
            raise DeadlineExceeded("the database did not answer within its deadline")
        if stopped is not None:
            if stopped.is_set():
                raise DeadlineExceeded("the call was given up because the process stops")
            seconds = min(seconds, STOP_LOOK_SECONDS)
        poller = select.poll()
        poller.register(connection.fileno(), select.POLLIN if state == extensions.POLL_READ else select.POLLOUT)
        poller.poll(seconds * 1000)


def install() -> None:
    """Makes psycopg2 wait through this module, for every connection of the process."""
    extensions.set_wait_callback(_wait)


def is_readable(connection: psycopg2.extensions.connection) -> bool:
    """True if an idle connection has something to say, which is always bad news: the server closed it."""
    poller = select.poll()
    poller.register(connection.fileno(), select.POLLIN)
    return bool(poller.poll(0))

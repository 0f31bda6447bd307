"""Wakes idle workers when a job becomes available, by LISTEN on a connection of its own.

Non-guarantee: a notification may be missed (a reconnect, a fail-over, SQLite, which has none). Workers poll
as well.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from catalog_server.db.connection import connect_lazily
from catalog_server.db.deadline import deadline
from catalog_server.jobs.queue import CHANNEL

log = logging.getLogger(__name__)

RECONNECT_SECONDS = 1.0


class Listener:
    """Calls `on_wake` in the event loop for every notification, after every (re)connect and every check.

    A connection that was quiet for `check_seconds` is asked for an answer within `deadline_seconds`: one to a
    database that froze, or has moved behind a proxy, would else stay open and silent for ever.
    """

    def __init__(
        self, dsn: str, *, on_wake: Callable[[], None], check_seconds: float = 10.0, deadline_seconds: float = 5.0
    ) -> None:
        self._dsn = dsn
        self._on_wake = on_wake
        self._check_seconds = check_seconds
        self._deadline_seconds = deadline_seconds

    async def run(self) -> None:
        """Until cancelled. Returns at once on SQLite."""
        if self._dsn.startswith("sqlite:"):
            return
        while True:
            try:
                await self._forward(await asyncio.to_thread(self._connect))
            except Exception as error:
                log.warning("no connection that listens for jobs, polling meanwhile: %s", error)
            await asyncio.sleep(RECONNECT_SECONDS)

    def _connect(self) -> Any:
        database = connect_lazily(
            self._dsn,
            purpose="listener",
            deadline_seconds=self._deadline_seconds,
            connect_timeout_seconds=self._deadline_seconds,
        )
        with deadline(self._deadline_seconds):
            connection: Any = database.connection()
        self._listen(connection)
        database.dispose()  # the connection belongs to the event loop from here on
        return connection

    async def _forward(self, connection: Any) -> None:
        """Until the connection breaks: raises the reason."""
        try:
            while True:
                self._on_wake()  # at first for whatever was announced while nobody listened
                if not await self._is_readable(connection.fileno()):
                    await asyncio.to_thread(self._listen, connection)  # again, for the answer
                connection.poll()
                connection.notifies.clear()
        finally:
            connection.close()

    async def _is_readable(self, descriptor: int) -> bool:
        """Waits for it; False if nothing came for `check_seconds`."""
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(descriptor, readable.set)
        try:
            async with asyncio.timeout(self._check_seconds):
                return await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(descriptor)

    def _listen(self, connection: Any) -> None:
        with deadline(self._deadline_seconds):
            connection.cursor().execute(f"LISTEN {CHANNEL}")

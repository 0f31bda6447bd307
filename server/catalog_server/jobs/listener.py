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

CONNECT_SECONDS = 5.0
RECONNECT_SECONDS = 1.0


class Listener:
    """Calls `on_wake` in the event loop for every notification, and after every (re)connect."""

    def __init__(self, dsn: str, *, on_wake: Callable[[], None]) -> None:
        self._dsn = dsn
        self._on_wake = on_wake

    async def run(self) -> None:
        """Until cancelled. Returns at once on SQLite."""
        if self._dsn.startswith("sqlite:"):
            return
        while True:
            try:
                connection = await asyncio.to_thread(self._connect)
            except Exception as error:
                log.warning("could not listen for jobs, polling meanwhile: %s", error)
            else:
                await self._forward(connection)
            await asyncio.sleep(RECONNECT_SECONDS)

    def _connect(self) -> Any:
        database = connect_lazily(
            self._dsn,
            purpose="listener",
            deadline_seconds=CONNECT_SECONDS,
            connect_timeout_seconds=CONNECT_SECONDS,
        )
        with deadline(CONNECT_SECONDS):
            connection: Any = database.connection()
            connection.cursor().execute(f"LISTEN {CHANNEL}")
        database.dispose()  # the connection belongs to the event loop from here on
        return connection

    async def _forward(self, connection: Any) -> None:
        loop = asyncio.get_running_loop()
        broken = loop.create_future()

        def readable() -> None:
            try:
                connection.poll()
            except Exception as error:
                if not broken.done():
                    broken.set_result(error)
                return
            if connection.notifies:
                connection.notifies.clear()
                self._on_wake()

        descriptor = connection.fileno()
        loop.add_reader(descriptor, readable)
        self._on_wake()  # whatever was announced while nobody listened
        try:
            error = await broken
            log.warning("lost the connection that listens for jobs: %s", error)
        finally:
            loop.remove_reader(descriptor)
            connection.close()

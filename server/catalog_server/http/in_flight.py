"""Requests in flight, and the end of the process that waits for them."""

import asyncio
from contextlib import suppress
from types import TracebackType


class InFlight:
    """Entered for as long as each request takes.

    aiohttp waits for requests too when it stops, but hears nothing more of their clients from then on: one whose body
    is on its way would be cut off. So the listener is closed first, this is waited for, and then aiohttp is stopped.
    """

    def __init__(self) -> None:
        self.draining = False  # answers close their connections, so that no further request comes on them
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def __enter__(self) -> None:
        self._count += 1
        self._none.clear()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._count -= 1
        if self._count == 0:
            self._none.set()

    async def finished(self, within_seconds: float) -> None:
        """Returns when no request is in flight, or when the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_seconds):
                await self._none.wait()

"""Holds windows open that are microseconds wide in the server, for bugs that need something to fall into them."""

from catalog_server.jobs import Worker
from chaos.sabotage.editing import edit


def before_effects() -> None:
    """Every job with an effect takes 0.3 s longer, between its handler and its effect."""
    edit(
        Worker._handle,
        (
            "await self._commit(claim, effect)",
            "await asyncio.sleep(0.3)\n            await self._commit(claim, effect)",
        ),
    )

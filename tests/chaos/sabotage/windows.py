"""Holds windows open that are microseconds wide in the server, for bugs that need something to fall into them."""

from catalog_server.jobs import Worker
from catalog_server.migrations.apply import Applier
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


def in_migrations() -> None:
    """Every version takes 0.5 s longer, in the transaction that changes the schema."""
    edit(
        Applier._step,
        (
            "                _run(session, script)\n",
            "                session.rows('SELECT pg_current_xact_id(), pg_sleep(0.5)')\n"
            "                _run(session, script)\n",
        ),
    )

"""Jobs are queued without their dedupe key: a source that is queued for refresh already is queued again.

Every refresh takes 3.5 s longer, so that the next one of its source is asked for before it is done.
"""

from catalog_server.catalog.refresh import RefreshHandler
from catalog_server.jobs.queue import Queue
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "dedupe"


def apply() -> None:
    edit(Queue.enqueue, ("dedupe_key=dedupe_key,\n            delay", "dedupe_key=None,\n            delay"))
    edit(
        RefreshHandler.run,
        (
            "outcome, catalog = await self._read(state)",
            "await asyncio.sleep(3.5)\n    outcome, catalog = await self._read(state)",
        ),
    )

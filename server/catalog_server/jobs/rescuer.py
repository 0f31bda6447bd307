"""Takes back the claims of workers that fell silent. Every replica does; row locks keep them apart."""

import asyncio
import logging

from catalog_server.db import Database
from catalog_server.jobs.queue import Queue
from catalog_server.observability import metrics

log = logging.getLogger(__name__)


class Rescuer:
    """Looks for expired claims every `interval_seconds`, by the database clock."""

    def __init__(self, *, database: Database, queue: Queue, interval_seconds: float) -> None:
        self._database = database
        self._queue = queue
        self._interval_seconds = interval_seconds

    async def run(self) -> None:
        """Until cancelled. An unreachable database is waited for."""
        while True:
            try:
                rescued = await self._database.run(self._queue.rescue)
            except Exception as error:
                log.warning("stale claims could not be looked for: %s", error)
            else:
                if rescued:
                    metrics.CLAIMS_RESCUED.inc(len(rescued))
                    log.warning("claims of silent workers were taken back", extra={"job_ids": rescued[:20]})
            await asyncio.sleep(self._interval_seconds)

"""Removes what is no longer needed: finished jobs, old ledger rows and probes, dead replicas, models of
removed sources."""

import logging

from catalog_server import probes, replicas
from catalog_server.catalog import store
from catalog_server.config import Settings
from catalog_server.db import Database, Session
from catalog_server.jobs import Queue
from catalog_server.leadership import Fence, Term
from catalog_server.singletons import rounds
from catalog_server.singletons.rounds import fenced_round

log = logging.getLogger(__name__)


class Cleanup:
    """Leader-only: see the retention settings for what counts as old."""

    name = "cleanup"

    def __init__(self, database: Database, fence: Fence, queue: Queue, settings: Settings) -> None:
        self.interval_seconds = settings.cleanup_seconds
        self._database = database
        self._fence = fence
        self._queue = queue
        self._settings = settings

    async def tick(self, term: Term) -> None:
        removed = await self._database.transaction(fenced_round(self._fence, term, self.name, self._remove_old))
        if any(removed.values()):
            log.info("cleaned up", extra=removed)

    def _remove_old(self, session: Session) -> dict[str, int]:
        settings = self._settings
        return {
            "jobs": self._queue.purge(session, retention_seconds=settings.jobs_retention_seconds),
            "attempts": self._queue.purge_ledger(session, retention_seconds=settings.ledger_retention_seconds),
            "rounds": rounds.purge(session, retention_seconds=settings.jobs_retention_seconds),
            "probes": probes.purge(session, retention_seconds=settings.jobs_retention_seconds),
            "replicas": replicas.purge(session, retention_seconds=settings.replica_retention_seconds),
            "models": store.purge_removed(session),
        }

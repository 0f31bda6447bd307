"""Enqueues a refresh for every source whose interval has passed."""

from catalog_server.catalog import store
from catalog_server.catalog.refresh import enqueue_refresh
from catalog_server.config import Settings
from catalog_server.db import Database, Session
from catalog_server.jobs import Queue
from catalog_server.leadership import Fence, Term
from catalog_server.singletons.rounds import fenced_round


class Schedule:
    """Leader-only. A source that is queued or being refreshed already is left alone (dedupe key)."""

    name = "schedule"

    def __init__(self, database: Database, fence: Fence, queue: Queue, settings: Settings) -> None:
        self.interval_seconds = settings.schedule_seconds
        self._database = database
        self._fence = fence
        self._queue = queue
        self._max_attempts = settings.jobs_max_attempts

    async def tick(self, term: Term) -> None:
        await self._database.transaction(fenced_round(self._fence, term, self.name, self._enqueue_due))

    def _enqueue_due(self, session: Session) -> None:
        for source_id in store.due_sources(session):
            enqueue_refresh(session, self._queue, source_id, max_attempts=self._max_attempts)

"""Reconciles the catalog's sources with the sources file when that file has changed."""

import asyncio
import hashlib
import logging
from pathlib import Path

from catalog_server.catalog import store
from catalog_server.catalog.refresh import enqueue_refresh
from catalog_server.catalog.sources_file import SourcesFileError, parse_sources
from catalog_server.config import Settings
from catalog_server.db import Database, Session
from catalog_server.jobs import Queue
from catalog_server.leadership import Fence, Term
from catalog_server.singletons.rounds import fenced_round

log = logging.getLogger(__name__)


class WatchSources:
    """Leader-only. A file that can not be used is logged once per content, and the sources stay as they are."""

    name = "watch_sources"

    def __init__(self, database: Database, fence: Fence, queue: Queue, settings: Settings) -> None:
        assert settings.sources_file is not None
        self.interval_seconds = settings.sources_watch_seconds
        self._path: Path = settings.sources_file
        self._refresh_interval_seconds = settings.refresh_interval_seconds
        self._database = database
        self._fence = fence
        self._queue = queue
        self._max_attempts = settings.jobs_max_attempts
        self._seen: str | None = None  # digest of the content last acted upon, in this term
        self.has_reconciled = False  # in this term

    async def tick(self, term: Term) -> None:
        try:
            content = await asyncio.to_thread(self._path.read_bytes)
        except OSError as error:
            self._complain(f"unreadable: {error}")
            return
        digest = hashlib.sha256(content).hexdigest()
        if digest == self._seen:
            return
        try:
            sources = parse_sources(
                content, path=self._path, default_refresh_interval_seconds=self._refresh_interval_seconds
            )
        except SourcesFileError as error:
            self._complain(str(error))
            self._seen = digest
            return

        def reconcile(session: Session) -> list[str]:
            changed = store.reconcile(session, sources)
            for source_id in changed:
                enqueue_refresh(session, self._queue, source_id, max_attempts=self._max_attempts)
            return changed

        changed = await self._database.transaction(fenced_round(self._fence, term, self.name, reconcile))
        self._seen = digest
        self.has_reconciled = True
        log.info("sources reconciled", extra={"path": str(self._path), "changed": changed})

    def _complain(self, problem: str) -> None:
        if problem != self._seen:
            log.error("the sources file %s can not be used: %s", self._path, problem)
            self._seen = problem

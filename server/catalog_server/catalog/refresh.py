"""The job `refresh`: read a source, understand it, and replace its models together with the job's completion.

Reading and parsing happen outside of any transaction. What they found is returned as an effect, which the
worker commits with the completion, so that of several attempts (after a crash, or a stalled worker) exactly
one replaces the models.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import replace

from catalog_server.catalog import store
from catalog_server.catalog.catalog_file import Catalog, parse_catalog
from catalog_server.catalog.documents import Unreadable
from catalog_server.catalog.filters import name_filter
from catalog_server.catalog.reader import Reader, Validators
from catalog_server.catalog.sources_file import Source
from catalog_server.catalog.store import Outcome, SourceState
from catalog_server.db import Database, Session
from catalog_server.jobs import Effect, Job, Queue

log = logging.getLogger(__name__)

KIND = "refresh"
MAX_PROBLEMS_TOLD = 10

# Part of every revision: raise it where the same content would be stored differently than before, so that
# sources are read anew after an upgrade.
_FORMAT = 1


def enqueue_refresh(session: Session, queue: Queue, source_id: str, *, max_attempts: int) -> Job:
    """Asks for a refresh; one that is queued or running already is returned instead of a second."""
    payload = {"source_id": source_id}
    job, _ = queue.enqueue(session, KIND, payload, dedupe_key=source_id, max_attempts=max_attempts)
    return job


class RefreshHandler:
    """Handles jobs of kind `refresh`; the payload is {"source_id": id}."""

    kind = KIND

    def __init__(self, *, database: Database, timeout_seconds: float, max_bytes: int) -> None:
        self._database = database
        self._reader = Reader(timeout_seconds=timeout_seconds, max_bytes=max_bytes)

    async def run(self, job: Job) -> Effect | None:
        """What the refresh found, to be committed with the job; None for a disabled or removed source."""
        source_id = job.payload["source_id"]
        state = await self._database.run(lambda session: store.source_state(session, source_id))
        if state is None:
            log.info("nothing to refresh: the source is disabled or gone", extra={"source": source_id})
            return None
        outcome, catalog = await self._read(state)

        def effect(session: Session) -> None:
            # Under the lock, so that the configuration can not change before the models are in place.
            current = store.source_state(session, source_id, lock=True)
            if current is None or current.source != state.source:
                # It stays due (its `refreshed_at` was emptied by the change), and is read as it is now.
                log.info("dropped: the source changed while it was read", extra={"source": source_id})
                return
            written = store.replace_models(session, source_id, catalog.models) if catalog else 0
            store.record(session, source_id, outcome)
            log.info("refreshed", extra={"source": source_id, "status": outcome.status, "written": written})

        return effect

    async def _read(self, state: SourceState) -> tuple[Outcome, Catalog | None]:
        """The outcome, and the models if they are to be replaced."""
        source, last = state.source, state.last
        is_good = last.status in (store.AVAILABLE, store.PARTIAL)
        try:
            reading = await self._reader.read(source.type, source.properties, last.validators)
            if reading.content is None:
                return last, None
            revision = _revision(reading.content, source)
            if is_good and revision == last.revision:
                return replace(last, validators=reading.validators), None
            catalog = await asyncio.to_thread(_parse, reading.content, source)
        except Unreadable as error:
            log.warning("a source can not be used: %s", error, extra={"source": source.id})
            # Without validators the next reading is a whole one: "not modified" would leave the error in place.
            return Outcome(store.ERROR, str(error), last.revision, Validators()), None
        status = store.PARTIAL if catalog.problems else store.AVAILABLE
        return Outcome(status, _summary(catalog.problems), revision, reading.validators), catalog


def _revision(content: bytes, source: Source) -> str:
    """Names what would be stored: the content, and the filters it goes through."""
    filters = json.dumps([_FORMAT, source.included_models, source.excluded_models])
    return hashlib.sha256(filters.encode() + b"\n" + content).hexdigest()


def _parse(content: bytes, source: Source) -> Catalog:
    is_wanted = name_filter(source.included_models, source.excluded_models)
    return parse_catalog(content, is_wanted=is_wanted, where=f"source {source.id}")


def _summary(problems: Sequence[str]) -> str | None:
    told = list(problems[:MAX_PROBLEMS_TOLD])
    if len(problems) > MAX_PROBLEMS_TOLD:
        told.append(f"and {len(problems) - MAX_PROBLEMS_TOLD} more")
    return "; ".join(told) or None

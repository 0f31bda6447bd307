"""Records in a ConfigMap how far the catalog has come, and under which leader."""

import logging
from collections.abc import Awaitable
from typing import NoReturn, TypeVar

from catalog_server import __version__
from catalog_server.catalog import store
from catalog_server.db import Database, Session
from catalog_server.kubernetes import UNAVAILABLE, ObjectChanged, Phase, State, StateStore
from catalog_server.leadership import Fence, Term
from catalog_server.migrations import read_status
from catalog_server.singletons.loop import RoundFailed
from catalog_server.singletons.rounds import fenced_round
from catalog_server.singletons.watch_sources import WatchSources

log = logging.getLogger(__name__)
T = TypeVar("T")

INTERVAL_SECONDS = 2.0


class RecordState:
    """Leader-only. It tells of the work that the other loops do, and is asked by nobody: an API that is away, or
    refuses, fails the round and costs nothing else.

    A term begins in the phase that is recorded, in BOOTSTRAP where none is, and goes on to OPERATIONAL for good.
    """

    name = "record_state"
    interval_seconds = INTERVAL_SECONDS

    def __init__(self, database: Database, fence: Fence, state: StateStore, sources: WatchSources | None) -> None:
        self._database = database
        self._fence = fence
        self._state = state
        self._sources = sources
        self._phase: Phase | None = None  # of this term; None until the record was read
        self._complaint: str | None = None  # what was told last, while it is not mended

    async def tick(self, term: Term) -> None:
        found = await self._ask(self._state.get())
        phase = self._phase or (found.state.phase if found.state else Phase.BOOTSTRAP)

        def look(session: Session) -> tuple[State, bool]:
            schema_version, now = read_status(session).current, session.scalar(f"SELECT {session.dialect.now} AS now")
            state = State(phase, term.epoch, schema_version, __version__, session.dialect.to_datetime(now))
            return state, not store.has_unread_sources(session)

        # Invariant: the fence is passed after the record was read. Whoever takes a later epoch writes after that, and
        # so makes the swap below fail, wherever this process is paused.
        state, all_read = await self._database.transaction(fenced_round(self._fence, term, self.name, look))
        if found.state is not None and found.state.epoch > term.epoch:
            self._complain(
                f"it tells of epoch {found.state.epoch}, later than this leader's {term.epoch}. If it was edited, or "
                "the database was restored, delete it; if another installation writes it, name another"
            )
        if found.problem is not None:
            log.warning("the state in ConfigMap %s was malformed, and is repaired: %s", self._state.name, found.problem)
        if found.state != state:
            try:
                await self._ask(self._state.write(state, found))
            except ObjectChanged as error:
                log.info("the state was not recorded: %s", error)  # the next round reads what it has become
                return
            log.info("state recorded", extra={"phase": str(phase)})
        self._complaint = None
        # The next round tells of it, so that BOOTSTRAP was recorded before OPERATIONAL is.
        is_reconciled = self._sources is None or self._sources.has_reconciled
        self._phase = Phase.OPERATIONAL if is_reconciled and all_read else phase

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except UNAVAILABLE as error:
            self._complain(str(error) or type(error).__name__)

    def _complain(self, problem: str) -> NoReturn:
        if problem != self._complaint:
            log.warning("the state can not be recorded in ConfigMap %s: %s", self._state.name, problem)
            self._complaint = problem
        raise RoundFailed(problem)

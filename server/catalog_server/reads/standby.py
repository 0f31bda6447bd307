"""Whether the standby may answer, and the proof of it."""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from catalog_server import replicas
from catalog_server.db import Database, DatabaseUnavailable, DeadlineExceeded, Session
from catalog_server.observability import metrics
from catalog_server.reads.heartbeats import Heartbeat, Heartbeats
from catalog_server.reads.position import Token, current_position

log = logging.getLogger(__name__)

T = TypeVar("T")

Reason = Literal["stale", "token", "unavailable", "deadline", "failed"]

HEARTBEATS_IN_BOUND = 5  # so that one that is late, or lost, does not make a good standby look stale


class Unfit(Exception):
    """The standby may not, or could not, answer this read; the primary can."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Standby:
    """One address of streaming replicas, judged at every read.

    `beat` writes a time into this process's row in the table of running replicas (the servers') on the primary. Nobody
    else writes that row, so the time that the standby shows in it tells which of the beats it has replayed; and since
    commits are replayed in their order, what else it has.
    """

    def __init__(
        self,
        database: Database,
        *,
        identity: str,
        staleness_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._identity = identity
        self._staleness_seconds = staleness_seconds
        self._clock = clock
        self._heartbeats = Heartbeats()
        self._is_away = False
        self._problem: str | None = "not looked at yet"

    @property
    def heartbeat_seconds(self) -> float:
        """Longest pause between two calls of `beat`."""
        return self._staleness_seconds / HEARTBEATS_IN_BOUND

    async def beat(self, primary: Database, write: Callable[[Session, Any], None]) -> None:
        """Has `write` store the next heartbeat, a time of the database's clock. Errors pass through."""
        begun_at = self._clock()  # and not a moment later: what is committed from here on may be missing

        def note_then_write(session: Session) -> None:
            # In this order: who shows the heartbeat has replayed the log up to the position, and it may be shown
            # before this process is told that it is written.
            position = current_position(session)
            seen_at = replicas.read_clock(session)
            self._heartbeats.add(seen_at, Heartbeat(begun_at, position))
            write(session, seen_at)

        await primary.run(note_then_write)

    async def run(self, work: Callable[[Session], T], token: Token | None) -> T:
        """What the work reads on the standby. Raises `Unfit`, and nothing else: the primary tells other errors."""
        if self._is_away:
            raise Unfit("unavailable", "the standby was away when it was last looked at")

        def checked(session: Session) -> T:
            self._check(session, token)
            return work(session)

        try:
            return await self._database.run(checked)
        except Unfit:
            raise
        except DatabaseUnavailable as error:
            self._is_away = True  # `watch` finds out when it is back, at no reader's cost
            reason: Reason = "deadline" if isinstance(error, DeadlineExceeded) else "unavailable"
            raise Unfit(reason, str(error)) from error
        except Exception as error:  # such as a conflict with replay, or a table that is not there yet
            raise Unfit("failed", str(error)) from error

    async def watch(self) -> None:
        """Until cancelled, looks at the standby as a read would: for its lag, and for its return."""
        while True:
            await self._look()
            await asyncio.sleep(self.heartbeat_seconds)

    async def _look(self) -> None:
        problem = None
        try:
            await self._database.run(lambda session: self._check(session, None))
            self._is_away = False
        except Unfit as unfit:
            problem = str(unfit)
            self._is_away = False
        except Exception as error:
            problem = str(error)
            self._is_away = True
            metrics.STANDBY_LAG.set(math.inf)
        if problem is not None and self._problem is None:
            log.warning("catalog reads go to the primary: %s", problem)
        elif problem is None and self._problem is not None:
            log.info("catalog reads go to the standby")
        self._problem = problem

    def _check(self, session: Session, token: Token | None) -> None:
        """Raises `Unfit` unless the server of this session shows a heartbeat that is young enough, and has the token.

        Once true it stays true for the read that follows: replay goes forward only.
        """
        heartbeat = self._heartbeats.find(replicas.last_seen(session, self._identity))
        age_seconds = math.inf if heartbeat is None else self._clock() - heartbeat.begun_at
        metrics.STANDBY_LAG.set(age_seconds)
        if heartbeat is None or age_seconds > self._staleness_seconds:
            raise Unfit("stale", f"the standby is {age_seconds:.1f} s behind, or cut off")
        if token is not None and not _has(heartbeat, token):
            raise Unfit("token", "the standby is not known to have what the token stands for")


def _has(heartbeat: Heartbeat, token: Token) -> bool:
    if heartbeat.position is None or token.position is None:
        return False
    return heartbeat.position.includes(token.position)

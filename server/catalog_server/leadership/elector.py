"""The elector: one replica's part in choosing a leader.

The algorithm is that of Kubernetes' client-go (tools/leaderelection), with a fencing epoch added. Every
replica looks at the lease once per retry period. If it is free, released, or unchanged for its duration on
this replica's own monotonic clock, the replica tries to take it by compare-and-swap; wall clocks are never
compared. The holder renews it in the same rhythm.

Trust. A leader trusts its term until (start of the last successful attempt) + lease - margin. Others count
the lease from when they *saw* that renewal, which is later than when it was begun, so no one can take over
while it trusts, as long as clocks advance at the same rate within the margin. A term that could not be
renewed for the renew deadline is given up earlier still, and its loops are cancelled then.

Epochs. The winner writes the epoch it will take into the lease with the winning swap, and then raises the
database's only if it is lower. So the order of epochs is the order of leases: a winner that was paused between
the two finds a later epoch and does not lead. A holder without a term (an answer was lost, or the database was
ahead) takes the lease anew, under a higher epoch.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol, TypeVar

from catalog_server.leadership.lease import Conflict, LeaseBackend, LeaseRecord
from catalog_server.leadership.term import Term
from catalog_server.leadership.timing import Timing
from catalog_server.observability import metrics

log = logging.getLogger(__name__)
T = TypeVar("T")


class Epochs(Protocol):
    """The database's side of an election (see `fence`)."""

    async def current(self) -> int: ...

    async def raise_to(self, epoch: int, holder: str) -> bool: ...

    async def end_term(self, term: Term) -> None: ...


class Clock(Protocol):
    """Time that only moves forward."""

    def monotonic(self) -> float: ...

    async def sleep_until(self, at: float) -> None: ...


class SystemClock:
    """The process's own clock; it goes on while the process is stopped."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep_until(self, at: float) -> None:
        await asyncio.sleep(at - self.monotonic())


class Elector:
    """Competes for one lease and runs `lead(term)` while it holds it. Use each elector once."""

    def __init__(
        self,
        *,
        backend: LeaseBackend,
        epochs: Epochs,
        identity: str,
        timing: Timing,
        lead: Callable[[Term], Awaitable[None]],
        clock: Clock | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._backend = backend
        self._epochs = epochs
        self._identity = identity
        self._timing = timing
        self._lead = lead
        self._clock = clock or SystemClock()
        self._draw = draw
        self._observed: LeaseRecord | None = None
        self._observed_at = self._clock.monotonic()
        self._term: Term | None = None
        self._renewed_at = 0.0  # start of the last attempt that renewed
        self._loops: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._done = asyncio.Event()
        self._ended_early = asyncio.Event()

    @property
    def term(self) -> Term | None:
        """The term this replica may act in at this moment."""
        if self._term is not None and self._clock.monotonic() < self._trusted_until:
            return self._term
        return None

    @property
    def _trusted_until(self) -> float:
        return self._renewed_at + self._timing.lease_seconds - self._timing.margin_seconds

    @property
    def _give_up_at(self) -> float:
        return self._renewed_at + self._timing.renew_deadline_seconds

    @property
    def _drained(self) -> bool:
        return self._loops is None or self._loops.done()

    async def run(self) -> None:
        """Competes until `stop`. Never raises for a failing backend: it tries again."""
        try:
            while not self._stopping.is_set():
                await self.attempt()
                if self._ended_early.is_set():
                    self._ended_early.clear()
                    await self._resign("its loops ended")
                await self._pause_until(self._next_attempt_at())
            await self._resign("stopping")
        finally:
            if self._term is not None and self._loops is not None:  # cancelled from outside
                self._loops.cancel()
            self._done.set()

    async def stop(self) -> None:
        """Ends `run`: the loops end first, then the lease is released, so that another may lead at once."""
        self._stopping.set()
        await self._done.wait()

    def _next_attempt_at(self) -> float:
        """After a retry period, shortened at random; earlier where something falls due before its end."""
        now = self._clock.monotonic()
        regular = now + self._timing.retry_seconds * (1 - self._timing.jitter * self._draw())
        if self._term is not None:
            return min(regular, self._give_up_at)
        return min(regular, self._free_at) if now < self._free_at else regular

    async def _resign(self, reason: str) -> None:
        """Frees the lease for another, also one won without knowing or without beginning a term.

        Invariant: the loops have ended before the lease is released; if they do not end, it expires.
        """
        await self._end_term(reason)
        if not self._drained:
            return
        try:
            held = await self._call(self._backend.get())
            if held is not None and held.holder == self._identity:
                released = LeaseRecord("", held.epoch, self._timing.lease_seconds)
                await self._call(self._backend.update(released, held))
        except Exception as error:
            log.warning("the lease could not be released, and expires: %s", str(error) or type(error).__name__)

    async def attempt(self) -> None:
        """One look at the lease, and what follows from it: renew, take, wait, or give up."""
        started_at = self._clock.monotonic()
        try:
            record = await self._call(self._backend.get())
            self._observe(record)
            own = record if record is not None and record.holder == self._identity else None
            if self._term is not None and (own is None or own.epoch != self._term.epoch):
                await self._end_term(_describe(record))
            if self._term is not None and own is not None:
                await self._renew(own, started_at)
            # Invariant: while the last term's loops go on there is no second set beside them; others may lead.
            elif self._drained and (own is not None or self._is_free(record)):
                await self._take(record, started_at)
        except Conflict:
            log.debug("another replica changed the lease first")
        except Exception as error:
            log.warning("an election attempt failed: %s", str(error) or type(error).__name__)
        if self._term is not None and self._clock.monotonic() >= self._give_up_at:
            await self._end_term("it could not be renewed in time")

    def _observe(self, record: LeaseRecord | None) -> None:
        """Remembers when a change was seen: after the read, so that others' trust is never cut short."""
        if record != self._observed:
            self._observed = record
            self._observed_at = self._clock.monotonic()

    @property
    def _free_at(self) -> float:
        """When the lease may be taken, if it does not change until then.

        The holder's own duration counts: it may be configured to trust for longer than we would.
        """
        duration = self._observed.duration_seconds if self._observed else 0.0
        return self._observed_at + max(duration, self._timing.lease_seconds)

    def _is_free(self, record: LeaseRecord | None) -> bool:
        if record is None or not record.holder:
            return True
        return self._clock.monotonic() >= self._free_at

    async def _renew(self, own: LeaseRecord, started_at: float) -> None:
        await self._write(self._record(own.epoch), own)
        self._renewed_at = started_at

    async def _take(self, record: LeaseRecord | None, started_at: float) -> None:
        """Wins the lease, also one that is ours without a term: the answer to an earlier call may have been lost.

        Invariants: a term begins only after the database's epoch was raised to the one in the lease. A replica
        that can not reach the database neither wins the lease nor prolongs one that it does not lead under.
        """
        epoch = max(record.epoch if record else 0, await self._call(self._epochs.current())) + 1
        await self._write(self._record(epoch), record)
        self._renewed_at = started_at
        if not await self._call(self._epochs.raise_to(epoch, self._identity)):
            return  # another took a later one meanwhile; the next attempt sees what became of the lease
        if self._stopping.is_set():
            return
        term = Term(epoch, self._identity)
        self._term = term
        self._ended_early.clear()  # that was an earlier term's
        self._loops = asyncio.create_task(self._run_loops(term), name=f"term-{term.epoch}")
        metrics.LEADER.set(1)
        metrics.LEADER_EPOCH.set(term.epoch)
        metrics.LEADER_TRANSITIONS.labels("begun").inc()
        log.info("the term began", extra={"epoch": term.epoch})

    async def _end_term(self, reason: str) -> None:
        """Ends the loops and waits for them; afterwards nothing of this replica acts under the term."""
        term, loops = self._term, self._loops
        if term is None:
            return
        self._term = None
        metrics.LEADER.set(0)
        metrics.LEADER_TRANSITIONS.labels("ended").inc()
        if loops is not None:
            loops.cancel()
            # Loops that do not end in time are fenced like any paused leader's.
            await asyncio.wait([loops], timeout=self._timing.call_seconds)
        log.info("the term ended: %s", reason, extra={"epoch": term.epoch})
        with suppress(Exception):  # for the record only; a successor closes the term as well
            await self._call(self._epochs.end_term(term))

    async def _run_loops(self, term: Term) -> None:
        try:
            if self.term is term:  # else the process was paused since, and another may have begun
                await self._lead(term)
        except Exception:
            log.exception("the leader's loops failed", extra={"epoch": term.epoch})
        if self._term is term:  # fenced or failed: hand over rather than hold a lease without leading
            self._ended_early.set()

    def _record(self, epoch: int) -> LeaseRecord:
        return LeaseRecord(self._identity, epoch, self._timing.lease_seconds)

    async def _write(self, record: LeaseRecord, expected: LeaseRecord | None) -> None:
        """The compare-and-swap."""
        if expected is None:
            written = await self._call(self._backend.create(record))
        else:
            written = await self._call(self._backend.update(record, expected))
        self._observe(written)

    async def _call(self, call: Awaitable[T]) -> T:
        """Every call is bounded; while a term runs also by its renew deadline, at which the loops must be ended."""
        seconds = self._timing.call_seconds
        if self._term is not None:
            seconds = min(seconds, self._give_up_at - self._clock.monotonic())
        async with asyncio.timeout(seconds):
            return await call

    async def _pause_until(self, at: float) -> None:
        """Until the next attempt, or `stop`, or the loops' own end.

        A point in time rather than a duration: a process that was paused on the way here looks at once.
        """
        sleep = asyncio.ensure_future(self._clock.sleep_until(at))
        waits = [sleep, *(asyncio.create_task(event.wait()) for event in (self._stopping, self._ended_early))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()


def _describe(record: LeaseRecord | None) -> str:
    """Why a term is over, for the log."""
    if record is None:
        return "the lease is gone"
    return f"the lease is held by {record.holder or 'nobody'} under epoch {record.epoch}"

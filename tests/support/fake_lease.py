"""A lease, a fence and a clock in memory, that tests can break in the ways real ones break."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from catalog_server.leadership import Conflict, LeaseRecord, Term


class FakeClock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    async def sleep_until(self, at: float) -> None:
        raise AssertionError("these tests call attempt(), which never sleeps")


class Shared:
    """What all replicas share: the lease, the database's epoch, and who took which."""

    def __init__(self) -> None:
        self.lease: LeaseRecord | None = None
        self.versions = 0
        self.epoch = 0
        self.taken: list[tuple[int, str]] = []

    def swap(self, record: LeaseRecord, expected: LeaseRecord | None) -> LeaseRecord:
        if self.lease != expected:
            raise Conflict("the lease changed")
        self.versions += 1
        self.lease = replace(record, version=self.versions)
        return self.lease

    def raise_epoch(self, epoch: int, holder: str) -> bool:
        if epoch <= self.epoch:
            return False
        self.epoch = epoch
        self.taken.append((epoch, holder))
        return True


class Connection:
    """One replica's way to what is shared: a lease backend and epochs at once.

    Before and after every call it awaits `before(name)` and `after(name)`, in which a test may pause the
    replica, move the clock, or raise, which loses the call or its answer.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.before: Callable[[str], Awaitable[None]] = _nothing
        self.after: Callable[[str], Awaitable[None]] = _nothing

    async def get(self) -> LeaseRecord | None:
        await self.before("get")
        record = self.shared.lease
        await self.after("get")
        return record

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        await self.before("write")
        written = self.shared.swap(record, None)
        await self.after("write")
        return written

    async def update(self, record: LeaseRecord, expected: LeaseRecord) -> LeaseRecord:
        await self.before("write")
        written = self.shared.swap(record, expected)
        await self.after("write")
        return written

    async def close(self) -> None:
        """Nothing to close."""

    async def current(self) -> int:
        await self.before("current")
        epoch = self.shared.epoch
        await self.after("current")
        return epoch

    async def raise_to(self, epoch: int, holder: str) -> bool:
        await self.before("raise")
        raised = self.shared.raise_epoch(epoch, holder)
        await self.after("raise")
        return raised

    async def end_term(self, term: Term) -> None:
        """Only noted in the real one."""


async def _nothing(call: str) -> None:
    return None


async def lead_until_cancelled(term: Term) -> None:
    """The loops of a leader that has nothing to do."""
    await asyncio.Event().wait()

"""Joins an elector to its surroundings: the fence in the database, and the backend that a setting names."""

from typing import Literal

from catalog_server.db import Database
from catalog_server.leadership.database_lease import DatabaseLease
from catalog_server.leadership.fence import Fence
from catalog_server.leadership.lease import Conflict, LeaseBackend, LeaseRecord
from catalog_server.leadership.term import Term


class Election:
    """The fence as the elector sees it, through the election's own pool."""

    def __init__(self, fence: Fence, database: Database) -> None:
        self._fence = fence
        self._database = database

    async def current(self) -> int:
        return await self._database.run(self._fence.current)

    async def raise_to(self, epoch: int, holder: str) -> bool:
        return await self._database.transaction(lambda session: self._fence.raise_to(session, epoch, holder))

    async def end_term(self, term: Term) -> None:
        await self._database.run(lambda session: self._fence.end_term(session, term))


class NoLease:
    """For a single replica: a lease in memory that nobody else can hold. Epochs still come from the fence."""

    def __init__(self) -> None:
        self._record: LeaseRecord | None = None

    async def get(self) -> LeaseRecord | None:
        return self._record

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        self._record = record
        return record

    async def update(self, record: LeaseRecord, expected: LeaseRecord) -> LeaseRecord:
        if self._record != expected:
            raise Conflict("the lease changed")
        self._record = record
        return record

    async def close(self) -> None:
        """There is nothing to close."""


async def make_backend(
    kind: Literal["database", "kubernetes", "none"], *, name: str, namespace: str | None, database: Database
) -> LeaseBackend:
    """The backend of the setting `leadership_backend`."""
    if kind == "database":
        return DatabaseLease(database, name)
    if kind == "none":
        return NoLease()
    # Imported here: the client is large, and only this backend needs it.
    from catalog_server.leadership.kubernetes_lease import KubernetesLease

    return KubernetesLease(name, namespace)

"""What a lease is, to whoever stores it: a record that only compare-and-swap can change."""

from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class LeaseRecord:
    """One version of the lease. `version` is the backend's own token for compare-and-swap."""

    holder: str  # empty: released
    epoch: int  # the epoch that the holder takes, or has taken
    duration_seconds: float
    version: Any = None


class Conflict(Exception):
    """The lease changed since it was read: the swap was not made."""


class LeaseBackend(Protocol):
    """Where the lease lives. Every call is bounded by the backend's own time-out."""

    async def get(self) -> LeaseRecord | None:
        """The record, or None where there is none (yet, or because somebody deleted it)."""

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        """Makes the lease; raises `Conflict` if there is one."""

    async def update(self, record: LeaseRecord, expected: LeaseRecord) -> LeaseRecord:
        """Replaces `expected` by `record`; raises `Conflict` if the lease is not `expected` any more."""

    async def close(self) -> None:
        """Gives back what the backend opened for itself."""

"""One schema version: a value, written once and never changed after release."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Version:
    """A step of the schema, as SQL per dialect ("postgresql", "sqlite").

    `oldest_server_head` is the oldest schema head a running server may know and still work on a schema at
    this version: it decides expand/contract, roll-back and older servers under a newer schema.

    A version that is not `transactional` may hold one CREATE INDEX CONCURRENTLY per statement, each naming an
    index in `concurrent_indexes` so that an invalid left-over can be found and dropped before a new attempt.
    """

    number: int
    name: str
    oldest_server_head: int
    upgrade: Mapping[str, str]
    downgrade: Mapping[str, str]
    transactional: bool = True
    concurrent_indexes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"

    def checksum(self, dialect: str) -> str:
        """SHA-256 over what the version does, so that an edit after release is noticed."""
        parts = (str(self), self.upgrade[dialect], self.downgrade[dialect], str(self.oldest_server_head))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

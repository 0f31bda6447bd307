"""One schema version: a value, written once and never changed after release."""

import hashlib
import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

_CONCURRENT = re.compile(
    r"\s*(?:CREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+IF\s+NOT\s+EXISTS"
    r"|DROP\s+INDEX\s+CONCURRENTLY\s+IF\s+EXISTS)\s+(\w+)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Version:
    """A step of the schema, as SQL per dialect ("postgresql", "sqlite").

    `oldest_server_head` is the oldest schema head a running server may know and still work on a schema at
    this version: it decides expand/contract, roll-back and older servers under a newer schema. It is written
    into the history with the version, so that a server that never heard of the version can read it.

    A version that is not `transactional` holds, on PostgreSQL, nothing but CREATE INDEX CONCURRENTLY IF NOT
    EXISTS and DROP INDEX CONCURRENTLY IF EXISTS, so that it can be run again after any interruption. On
    SQLite every version is one transaction.

    Raises `ValueError` if the version could not be applied safely.
    """

    number: int
    name: str
    oldest_server_head: int
    upgrade: Mapping[str, str] = field(repr=False)
    downgrade: Mapping[str, str] = field(repr=False)
    transactional: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.oldest_server_head <= self.number:
            raise ValueError(f"{self}: oldest_server_head must be between 1 and {self.number}")
        if not self.transactional:
            _ = self.concurrent_indexes

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"

    def checksum(self, dialect: str) -> str:
        """SHA-256 over what the version does, so that an edit after release is noticed."""
        parts = (
            str(self),
            self.upgrade[dialect],
            self.downgrade[dialect],
            str(self.oldest_server_head),
        )
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @cached_property
    def concurrent_indexes(self) -> tuple[str, ...]:
        """Indexes that an interrupted attempt at this version can leave behind invalid, on PostgreSQL."""
        if self.transactional:
            return ()
        names = []
        for sql in (self.upgrade["postgresql"], self.downgrade["postgresql"]):
            for statement in statements(sql):
                match = _CONCURRENT.match(statement)
                if match is None:
                    raise ValueError(
                        f"{self} is not transactional, so each statement must be CREATE INDEX CONCURRENTLY"
                        f" IF NOT EXISTS or DROP INDEX CONCURRENTLY IF EXISTS: {statement.strip()}"
                    )
                names.append(match[1])
        return tuple(dict.fromkeys(names))


def statements(sql: str) -> list[str]:
    """The single statements of a script. Quotes and comments are understood, dollar quoting is not.

    Raises `ValueError` where the last statement has no end.
    """
    found: list[str] = []
    statement = ""
    *pieces, rest = sql.split(";")
    for piece in pieces:
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    rest = re.sub(r"--.*", "", statement + rest).strip()
    if rest:
        raise ValueError(f"a statement without a semicolon at its end: {rest}")
    return found


def check_order(versions: Sequence[Version]) -> tuple[Version, ...]:
    """The versions, if their numbers are 1, 2, 3 ...; raises `ValueError` otherwise."""
    numbers = [version.number for version in versions]
    if numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(f"schema versions must be numbered 1, 2, 3 ... without a gap, not {numbers}")
    return tuple(versions)

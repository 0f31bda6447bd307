"""A place in the history of the database, and the token that takes it to clients and back."""

import re
from dataclasses import dataclass

import peewee

from catalog_server.db import Session

PRIMARY = "primary"  # the token that no standby satisfies
_POSITION = re.compile(r"([0-9a-f]{16})-([0-9a-f]{8})-([0-9a-f]{16})")


class MalformedToken(ValueError):
    """The text is not a token that this service could have given out."""


@dataclass(frozen=True, slots=True)
class Position:
    """A place in the write-ahead log, `lsn` bytes from its start, on one timeline of one database cluster."""

    system: int
    timeline: int
    lsn: int

    def includes(self, other: "Position") -> bool:
        """Whether all that was committed at the other is committed here.

        Never known across timelines: beyond the fork the same `lsn` means something else.
        """
        return (self.system, self.timeline) == (other.system, other.timeline) and self.lsn >= other.lsn


@dataclass(frozen=True, slots=True)
class Token:
    """What a client wants to see. Without a position the primary alone is sure to have it."""

    position: Position | None

    def __str__(self) -> str:
        at = self.position
        return PRIMARY if at is None else f"{at.system:016x}-{at.timeline:08x}-{at.lsn:016x}"

    @classmethod
    def parse(cls, text: str) -> "Token":
        """The inverse of `str`. Raises `MalformedToken`."""
        if text == PRIMARY:
            return cls(None)
        found = _POSITION.fullmatch(text)
        if found is None:
            raise MalformedToken(text)
        system, timeline, lsn = (int(part, 16) for part in found.groups())
        return cls(Position(system, timeline, lsn))


def current_position(session: Session) -> Position | None:
    """Where the primary's log ends: all that was committed before this call is included.

    None on SQLite, and where the database does not let this role know.
    """
    if session.dialect.name != "postgresql":
        return None
    try:
        # The log's insert position: commits that are told before they are flushed are included too.
        row = session.row(
            """
            SELECT system_identifier AS system, substr(pg_walfile_name(at), 1, 8) AS timeline, at - '0/0'::pg_lsn AS lsn
            FROM pg_control_system(), pg_current_wal_insert_lsn() AS at
            """
        )
    except (peewee.ProgrammingError, peewee.NotSupportedError):
        return None
    assert row is not None
    return Position(row.system % 2**64, int(row.timeline, 16), int(row.lsn))

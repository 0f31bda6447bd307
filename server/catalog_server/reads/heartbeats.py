"""The heartbeats that this process wrote to the primary, to be recognised on the standby."""

from dataclasses import dataclass
from typing import Any

from catalog_server.reads.position import Position

KEPT = 1000  # bounds the memory; one that is older tells no more than that the standby is far behind


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A state of the primary: all that was committed before `begun_at` (seconds of this process's monotonic clock), and
    all that is before `position`, if that is known."""

    begun_at: float
    position: Position | None


class Heartbeats:
    """The latest `KEPT`, by what the database stores for each.

    Invariants:
    * What is stored is compared for equality only: it is a time of the database's clock, which may be set back.
    * Of two heartbeats with the same stored value the older one counts: the standby may show either.

    Read by threads of one pool while a single thread adds: each touches the dictionary in one step.
    """

    def __init__(self) -> None:
        self._by_value: dict[Any, Heartbeat] = {}

    def add(self, value: Any, heartbeat: Heartbeat) -> None:
        """Remembers a heartbeat, before it is written: the standby may show it sooner than the primary's answer comes.
        One that is not written then is never shown.
        """
        self._by_value.setdefault(value, heartbeat)
        if len(self._by_value) > KEPT:
            del self._by_value[next(iter(self._by_value))]

    def find(self, value: Any) -> Heartbeat | None:
        """The heartbeat that stored the value, unless it is not of this process or too long ago."""
        return self._by_value.get(value)

"""The heartbeats that this process wrote to the primary, to be recognised on the standby."""

from dataclasses import dataclass
from datetime import datetime

from catalog_server.reads.position import Position

KEPT = 1000  # bounds the memory; one that is older tells no more than that the standby is far behind


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A state of the primary: all that was committed before `begun_at` (seconds of this process's monotonic clock), and
    all that is before `position`, if that is known."""

    begun_at: float
    position: Position | None


class Heartbeats:
    """The latest `KEPT`, by what the database stored for each.

    Invariants:
    * What is stored is compared for equality only. It happens to be a time of the database's clock, which may be set
      back.
    * Of two heartbeats with the same stored value the older one counts: the standby may show either.

    Read by threads of the pool while the event loop's alone adds: each touches the dictionary in one step.
    """

    def __init__(self) -> None:
        self._by_value: dict[datetime, Heartbeat] = {}

    def add(self, value: datetime, heartbeat: Heartbeat) -> None:
        """Remembers a heartbeat after it was committed."""
        self._by_value.setdefault(value, heartbeat)
        if len(self._by_value) > KEPT:
            del self._by_value[next(iter(self._by_value))]

    def find(self, value: datetime | None) -> Heartbeat | None:
        """The heartbeat that stored the value, unless it is not of this process or too long ago."""
        return None if value is None else self._by_value.get(value)

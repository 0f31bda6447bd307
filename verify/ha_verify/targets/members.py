"""The members of a replicated database: what they say of themselves, and what can be done to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Role = Literal["primary", "standby"]


@dataclass(frozen=True, slots=True)
class Member:
    """One member at one moment, in its own words."""

    name: str
    role: Role
    timeline: int
    lsn: int  # bytes of WAL: written by a primary, received by a standby
    follows: bool  # it is a standby that gets what a primary writes


class Members(Protocol):
    """Whatever is broken here is mended by `Target.heal`. Every method raises `NotPossible` where it can not be done.

    Whether a person or a program replaces a lost primary only the target knows: see `fail_over`.
    """

    async def names(self) -> list[str]: ...

    async def look(self, member: str) -> Member:
        """Raises `psycopg2.Error` where it does not answer in time."""

    async def write(self, member: str) -> int:
        """Asks this member for a write, whatever its role: safe at any time, since it leaves nothing behind.

        Returns the timeline on which it was acknowledged as a client's write is, which may take as long as its
        confirmation does. Raises `psycopg2.Error` where it was refused, or not confirmed in time.
        """

    async def primary(self) -> Member:
        """The one on the newest timeline of those that are no standbys."""

    async def lose(self, member: str) -> str:
        """All its processes are killed at once, and stay away until `start`. Returns what was seen of it."""

    async def crash(self, member: str) -> str:
        """All its processes are killed at once, and whatever keeps it up starts it again. Returns what was seen."""

    async def pause(self, member: str) -> str:
        """All its processes stop: connections stay open and say nothing. Returns what was seen of it."""

    async def resume(self, member: str) -> str:
        """Lets it go on. Returns what was seen of it: that it is gone where it was ended."""

    async def start(self, member: str) -> str:
        """What the return of its machine would do: whatever keeps it up may run it. Returns what was seen of it."""

    async def silence(self, member: str) -> str:
        """Its replicas get nothing more of what it writes, although their connections stay. Returns what was seen."""

    async def isolate(self, member: str) -> str:
        """It and whatever keeps it up reach no other member any more, nor whatever decides who leads, nor are they
        reached by them; its clients still reach it, on the connections that they have as well. Returns what was seen
        of it."""

    async def reconnect(self, member: str) -> str:
        """Ends what `isolate` or `silence` began; nothing is done where nothing is cut. Returns what was seen of it."""

    async def fail_over(self, lost: str) -> str:
        """Returns when another member than this lost primary takes writes; in words how that came about.

        Where a person has to do it, this is what that person does. Where a program does it, this only waits.
        """

    async def rejoin(self, member: str) -> str:
        """Returns when it follows the primary; in words how that came about. By a person or a program, as above."""

    async def switch_over(self) -> Mapping[str, Any]:
        """As planned, to another member. Returns `primary`, and whatever the procedure says that it cost."""

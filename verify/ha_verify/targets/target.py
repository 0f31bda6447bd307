"""The interface of a target."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Signal = Literal["KILL", "TERM", "STOP", "CONT"]
Cut = Literal["refused", "frozen", "cut"]


class NotPossible(Exception):
    """The target can not do this here; the message says what it would need."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What the deployment was configured to: the bounds of recovery are derived from these. All in seconds."""

    lease: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0
    claim_lease: float = 30.0
    rescue: float = 5.0
    schedule: float = 2.0
    drain: float = 2.0
    database_deadline: float = 5.0
    start: float = 20.0  # from the start of a replica's process to its being ready, migrations included


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as the target knows it. `name` is that of `GET /api/v1/cluster`."""

    name: str
    url: str  # of this replica itself, past the load balancer
    running: bool
    instance: str  # changes with every start: a process id, a pod's container id


class Target(Protocol):
    """A deployment that a run made and may break. Every method raises `NotPossible` where it can not be done."""

    name: str
    timing: Timing

    @property
    def base_url(self) -> str:
        """Of the load balancer."""

    async def up(self, replicas: int = 3) -> None:
        """Deploys if need be; returns when all replicas are ready and one leads."""

    async def down(self) -> None: ...

    async def scale(self, replicas: int) -> None: ...

    async def replicas(self) -> list[Replica]: ...

    async def leader(self) -> str | None:
        """The name of the replica that holds the newest open term, from the database."""

    async def token(self) -> str | None:
        """A bearer token for writes; None where none is needed."""

    async def signal(self, replica: str, signal: Signal) -> None:
        """To the replica's process. KILL and TERM: whatever keeps it up starts it again."""

    async def start_cold(self, schema: Literal["empty", "half-migrated", "current"], replicas: int = 3) -> None:
        """Stops all replicas, puts the schema in this state, and starts all at once; does not wait for them."""

    async def stop_replicas(self) -> None: ...

    async def roll(self) -> None:
        """Restarts all replicas the way an upgrade does, one at a time."""

    async def database(self, action: Literal["restart", "crash", "stop", "start", "pause", "resume"]) -> None: ...

    async def terminate_backends(self) -> int:
        """Ends the connections of all replicas; returns how many there were."""

    async def exhaust_connections(self) -> int:
        """Takes every connection that ordinary users may have; returns how many. Given back by `heal`."""

    async def cut_off(self, replica: str, how: Cut) -> str:
        """Between one replica and the database, and so its lease. Returns what a connection was seen to be."""

    async def reconnect(self, replica: str) -> str:
        """Returns what a connection was seen to be."""

    async def restart_load_balancer(self) -> None: ...

    async def shift_clock(self, replica: str, seconds: float) -> None:
        """The wall clock that one replica sees from its next start on; its monotonic clock goes on."""

    async def fill_disk(self) -> int:
        """Of the database; returns the bytes that were free. Undone by `heal`."""

    async def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Reads what the database holds, past all replicas and proxies."""

    async def sources(self) -> list[str]:
        """Ids of the sources whose content `write_source` may change."""

    async def write_source(self, source: str, content: str) -> None:
        """Replaces the content that the next refresh of the source reads."""

    async def heal(self) -> None:
        """Undoes every fault that is still on. May be called at any time, also after a failure."""

    def versions(self) -> dict[str, str]:
        """Of everything that takes part, for the report."""

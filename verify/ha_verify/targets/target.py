"""The interface of a target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from ha_verify.targets.drill import Drill
from ha_verify.targets.members import Members

Signal = Literal["KILL", "TERM", "STOP", "CONT"]
# deaf: what comes from the other side is lost; mute: what goes there is.
Cut = Literal["refused", "frozen", "cut", "deaf", "mute"]
Peer = Literal["lease and database", "database", "api server"]
# What some faults need, and not every target has.
Need = Literal[
    "clock",
    "disk",
    "load balancer",
    "partitions",
    "cut connections",
    "one-way cuts",
    "orchestrator",
    "database members",
    "networks of members",
    "crashed members",
    "spare connections",
    "backups",
]


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

    # What the load balancer is like. The defaults are of one that repeats elsewhere what a replica did not answer.
    end_noticed: float = 0.0  # requests still go to a replica that ended without being asked through the target
    silence_noticed: float = 5.0  # requests still go to a replica that says nothing, or that it is not ready
    node_noticed: float = 0.0  # requests still go to the replicas of a node that is gone or says nothing
    readmitted: float = 0.0  # requests do not yet go to a replica that is ready again
    before_stop: float = 0.0  # a replica that is ended in order goes on as if nothing was, so that all take notice

    # What replaces a lost primary of the database. The defaults are of a person with a procedure.
    database_failover: float | None = None  # from its loss to a successor that takes writes; None: as the person does
    database_fenced: float = 0.0  # one that was succeeded may believe for so long, from when it woke, that it leads
    database_unconfirmed: float = 0.0  # a commit waits for a replica that is lost, until another one may confirm it
    database_switchover: float = 10.0  # longest that a planned hand-over waits for a replica to have everything
    database_replaced: float = 300.0  # a person's procedure for a lost primary gives up after so long
    archive_confirmed: float = 1.0  # so often the archive of WAL confirms what it has on its disk

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], **target: float) -> "Timing":
        """From the server's own settings, as `catalog-server config check --json` tells them."""
        return cls(
            lease=settings["leadership_lease_seconds"],
            renew_deadline=settings["leadership_renew_deadline_seconds"],
            retry=settings["leadership_retry_seconds"],
            claim_lease=settings["jobs_claim_lease_seconds"],
            rescue=settings["jobs_rescue_seconds"],
            schedule=settings["schedule_seconds"],
            drain=settings["drain_seconds"],
            database_deadline=settings["database_deadline_seconds"],
            **target,
        )

    def under_patroni(self, told: Mapping[str, Any]) -> "Timing":
        """With a database of members that Patroni runs, told `ttl`, `loop_wait` and `retry_timeout` in seconds."""
        loop_and_retry = float(told["loop_wait"]) + float(told["retry_timeout"])
        return replace(
            self,
            # The lock runs out, the others look, one takes it and is promoted. Who wakes looks first, and finds out.
            database_failover=float(told["ttl"]) + float(told["loop_wait"]) + loop_and_retry,
            database_fenced=loop_and_retry,
        )


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica as the target knows it. `name` is that of `GET /api/v1/cluster`."""

    name: str
    url: str  # of this replica itself, past the load balancer
    running: bool
    instance: str  # changes with every start: a process id, a pod's container id


class Orchestrator(Protocol):
    """What runs the replicas where they are pods on nodes. Whatever is broken is mended by `Target.heal`."""

    async def delete(self, replica: str, *, grace: bool) -> None:
        """Has the replica ended in order, or at once, and another one made in its place; does not wait."""

    async def node_of(self, replica: str) -> str: ...

    async def node_of_database(self) -> str: ...

    async def break_node(self, node: str, how: Literal["pause", "lose"]) -> str:
        """All that runs on it stops, or ends without a word. Returns what was seen of it."""

    async def mend_node(self, node: str) -> str: ...

    async def drain(self, node: str) -> dict[str, Any]:
        """Closes the node and has its replicas ended, no faster than the disruption budget allows.

        Returns when as many as before are available elsewhere; tells whom it asked to go and how often it had to wait.
        """

    async def reopen(self, node: str) -> None: ...

    async def break_api(self, how: Literal["frozen", "refused"]) -> str:
        """Of the orchestrator: nobody reaches it any more. Returns what was seen of it."""

    async def mend_api(self) -> str: ...

    async def upgrade(self) -> str:
        """To another release, under which every replica is made anew; returns the release when that is done."""

    async def rollback(self) -> str:
        """To the release before; returns the one that it made."""

    async def state(self) -> dict[str, Any] | None:
        """What the leader keeps with the orchestrator about its phase, with a `uid`; None where there is nothing."""

    async def delete_state(self) -> None: ...


class Target(Protocol):
    """A deployment that a run made and may break. Every method raises `NotPossible` where it can not be done."""

    name: str
    timing: Timing
    lacks: Mapping[Need, str]  # what can not be done here at all, and why

    @property
    def orchestrator(self) -> Orchestrator:
        """Raises `NotPossible` where there is none."""

    @property
    def members(self) -> Members:
        """Of the database. Raises `NotPossible` where it has one member only."""

    @property
    def drill(self) -> Drill:
        """For disasters. Raises `NotPossible` where there are no backups, or nobody who could fail over."""

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

    async def cut_off(self, replica: str, how: Cut, peer: Peer = "lease and database") -> str:
        """Between one replica and what it needs. Returns what a connection was seen to be."""

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

    async def renew(self) -> list[str]:
        """Between trials: replaces replicas that the last ones have worn out; returns their names."""

    async def heal(self) -> None:
        """Undoes every fault that is still on. May be called at any time, also after a failure."""

    def versions(self) -> dict[str, str]:
        """Of everything that takes part, for the report."""

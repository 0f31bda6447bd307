"""The target: joins its parts. Faults of the orchestrator are in `orchestrator`."""

import asyncio
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from ha_verify.targets.drill import Drill
from ha_verify.targets.kind.api import Api
from ha_verify.targets.kind.commands import find, run
from ha_verify.targets.kind.containers import Containers
from ha_verify.targets.kind.control_plane import ControlPlane
from ha_verify.targets.kind.cordons import Cordons
from ha_verify.targets.kind.database import Database, KindDatabase
from ha_verify.targets.kind.deployment import Deployment
from ha_verify.targets.kind.member_pods import MemberPods
from ha_verify.targets.kind.members import NO_CRASH, KindMembers
from ha_verify.targets.kind.nodes import Nodes
from ha_verify.targets.kind.orchestrator import KindOrchestrator
from ha_verify.targets.kind.replicated import NO_WAY_IN, ReplicatedDatabase
from ha_verify.targets.kind.services import Address, Services
from ha_verify.targets.kind.sources import KindSources
from ha_verify.targets.kind.timing import replicated, timing
from ha_verify.targets.members import Members
from ha_verify.targets.playbook import PROJECT, Playbook
from ha_verify.targets.postgresql import Action
from ha_verify.targets.target import Cut, Need, NotPossible, Orchestrator, Peer, Replica, Signal, Timing

STATE_DIR = PROJECT / ".state" / "kind"
NAMESPACE = "catalog"
# The kubelet starts a container again at once, then after 10, 20, 40 ... s: a pod that was killed more often is
# replaced between trials, or the next trial would measure the kubelet's patience.
RESTARTS_MAX = 1

_LEADER = """
    SELECT CASE WHEN ended_at IS NULL THEN split_part(holder, '/', 1) END AS replica
    FROM leadership_terms ORDER BY epoch DESC LIMIT 1
"""
_LACKS: Mapping[Need, str] = {
    "clock": "pods have the clock of their node, and all nodes that of this machine",
    "disk": "the volume of PostgreSQL lies on the disk of this machine, which is not filled",
    "load balancer": "kube-proxy writes rules for the kernel: no process passes requests on that could be restarted",
    "crashed members": NO_CRASH,
    "backups": "they are not taken on Kubernetes by what this project deploys",
    "cut connections": "a packet filter refuses or drops; it can not accept a connection and end it",
}
_ONE_MEMBER: Mapping[Need, str] = {"database members": "the database for trials has one: add -e postgresql_ha=true"}
_MANY_MEMBERS: Mapping[Need, str] = {"spare connections": NO_WAY_IN}

# What scenarios of the database's members need.
REPLICATED: Mapping[str, Any] = {"postgresql_ha": True}


class KindTarget:
    """Implements `Target`. `variables` are those of the playbooks: `settings`, ports, `kind_cluster`, `command`,
    `REPLICATED`."""

    name = "kind"
    lacks: Mapping[Need, str] = {**_LACKS, **_ONE_MEMBER}  # unless `variables` ask for more members

    def __init__(
        self, state_dir: Path = STATE_DIR, variables: Mapping[str, Any] | None = None, *, inventory: str = "kind"
    ) -> None:
        given = dict(variables or {})
        namespace = str(given.get("release_namespace", NAMESPACE))
        self._http_port = int(given.get("kind_http_port", 30080))
        self._api = Api(state_dir / "kubeconfig")
        self._nodes = Nodes(str(given.get("kind_cluster", "catalog")))
        self._containers = Containers(self._nodes, namespace)
        self._deployment = Deployment(self._api, namespace)
        self._cordons = Cordons(self._api)
        self._services = Services(self._api)
        self._control_plane = ControlPlane(self._nodes, self._api)
        self._sources = KindSources(self._api, namespace)
        self._sources_file = state_dir / "verification" / "sources.yaml"
        self._versions: dict[str, str] = {}
        defaults = {
            "state_dir": str(state_dir),
            "sources_file": str(self._sources_file),
            "settings": {"probes_enabled": True} | dict(given.pop("settings", {})),
        }
        self._playbook = Playbook(inventory, defaults | given, state_dir / "verification" / "playbooks.log")
        self._member_pods = MemberPods(self._api, namespace)
        self._members = KindMembers(
            self._nodes, self._containers, self._cordons, self._services, self._member_pods, self._playbook
        )
        self._database: Database
        if given.get("postgresql_ha"):
            self.lacks = {**_LACKS, **_MANY_MEMBERS}
            self._database = ReplicatedDatabase(self._members, self._member_pods, self._containers)
        else:
            port = int(given.get("kind_postgresql_port", 30432))
            self._database = KindDatabase(self._api, self._containers, namespace, port)
        self._orchestrator = KindOrchestrator(
            self._api,
            self._nodes,
            self._control_plane,
            self._deployment,
            self._database,
            self._cordons,
            self._playbook,
            dict(given.get("chart_values", {})),
        )
        self.timing = Timing()

    @property
    def orchestrator(self) -> Orchestrator:
        return self._orchestrator

    @property
    def base_url(self) -> str:
        """The NodePort of the replicas' Service."""
        return f"http://127.0.0.1:{self._http_port}"

    @property
    def members(self) -> Members:
        if "database members" in self.lacks:
            raise NotPossible(self.lacks["database members"])
        return self._members

    @property
    def drill(self) -> Drill:
        raise NotPossible(_LACKS["backups"])

    async def up(self, replicas: int = 3) -> None:
        """Raises `PlaybookFailed`, or `NotPossible` where there is no cluster."""
        if await self._api.find(self._deployment.path) is not None:
            await self.heal()
        self._sources_file.parent.mkdir(parents=True, exist_ok=True)
        self._sources_file.write_text(self._sources.sources_file(), encoding="utf-8")
        await asyncio.to_thread(self._playbook.run, "deploy.yml", replicas=replicas)
        template = (await self._deployment.document())["spec"]["template"]
        await self._sources.make(template["spec"]["containers"][0]["image"])
        await self._deployment.rolled_out()
        await self._database.learn()
        self.timing = timing(await self._deployment.settings(), template)
        if "database members" not in self.lacks:
            self.timing = replicated(self.timing, await self._member_pods.failover())
        self._versions = await self._ask_versions()

    async def down(self) -> None:
        """Deletes the deployment with its data; the cluster stays."""
        await asyncio.to_thread(self._database.give_back_connections)
        self._database.close()
        await self._sources.remove()
        await asyncio.to_thread(self._playbook.run, "teardown.yml", data=True)
        self._api.close()

    async def scale(self, replicas: int) -> None:
        """Returns when as many as wanted are available, and the others have gone."""
        await asyncio.to_thread(self._playbook.run, "scale.yml", replicas=replicas)
        await self._deployment.rolled_out()

    async def replicas(self) -> list[Replica]:
        """Those that were asked to go are not among them."""
        url = await asyncio.to_thread(lambda: self._api.url)
        found = [pod for pod in await self._deployment.pods() if pod.counts]
        return [pod.replica(url, self._deployment.namespace) for pod in found]

    async def leader(self) -> str | None:
        rows = await self.sql(_LEADER)
        return rows[0]["replica"] if rows else None

    async def token(self) -> str | None:
        if not (await self._deployment.settings())["auth_secret"]:
            return None
        return (await self._deployment.execute("catalog-server", "token", "--subject", "ha-verify")).strip()

    async def signal(self, replica: str, signal: Signal) -> None:
        await self._containers.signal(await self._deployment.pod(replica), signal)

    async def start_cold(self, schema: Literal["empty", "half-migrated", "current"], replicas: int = 3) -> None:
        """What the database held is lost, except for `current`. The next leader reads the sources again."""
        if len(await self.replicas()) != replicas:
            await self.scale(replicas)
        await self.stop_replicas()
        if schema != "current":
            await self._database.learn()
            await asyncio.to_thread(self._database.empty)
        if schema == "half-migrated":
            await self._deployment.execute_aside("catalog-server", "db", "upgrade")
            await self._deployment.execute_aside("catalog-server", "db", "downgrade", "1")
        await self._cordons.reopen_all()

    async def stop_replicas(self) -> None:
        """Their successors wait until a node takes them again: the number of replicas is the release's to decide."""
        await self._orchestrator.close_all()
        pods = await self._deployment.pods()
        for pod in pods:
            await self._deployment.delete_pod(pod, grace=True)
        await self._deployment.gone(pods)

    async def roll(self) -> None:
        await self._deployment.restart()
        await self._deployment.rolled_out()

    async def database(self, action: Action) -> None:
        await self._database.learn()
        await self._database.act(action)

    async def terminate_backends(self) -> int:
        return await asyncio.to_thread(self._database.terminate_backends)

    async def exhaust_connections(self) -> int:
        return await asyncio.to_thread(self._database.exhaust_connections)

    async def cut_off(self, replica: str, how: Cut, peer: Peer = "lease and database") -> str:
        pod = await self._deployment.pod(replica)
        return await self._containers.cut_off(pod, how, await self._addresses(peer))

    async def reconnect(self, replica: str) -> str:
        """Where the replica has gone meanwhile there is nothing to be reconnected."""
        pod = await self._deployment.pod(replica)
        return await self._containers.reconnect(pod, await self._addresses("lease and database"))

    async def restart_load_balancer(self) -> None:
        raise NotPossible(_LACKS["load balancer"])

    async def shift_clock(self, replica: str, seconds: float) -> None:
        raise NotPossible(_LACKS["clock"])

    async def fill_disk(self) -> int:
        raise NotPossible(_LACKS["disk"])

    async def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Raises `psycopg2.Error`, also while the database does not answer."""
        await self._database.learn()
        return await asyncio.to_thread(self._database.sql, query, parameters)

    async def sources(self) -> list[str]:
        return self._sources.ids()

    async def write_source(self, source: str, content: str) -> None:
        await self._sources.write(source, content)

    async def renew(self) -> list[str]:
        """Replaces pods that were started again so often that the kubelet would be slow to do it once more.

        The leader's stays: its replacement would cost a term for which no fault is the reason.
        """
        leader = await self.leader()
        worn = [
            pod
            for pod in await self._deployment.pods()
            if pod.counts and pod.restarts > RESTARTS_MAX and pod.name != leader
        ]
        for pod in worn:
            await self._deployment.delete_pod(pod, grace=True)
        if worn:
            await self._deployment.rolled_out()
        return [pod.name for pod in worn]

    async def heal(self) -> None:
        """Nodes first, then the API, then the database, then what needs them. Nothing where nothing is wrong."""
        await asyncio.to_thread(self._database.give_back_connections)
        nodes = await self._nodes.all()
        await asyncio.gather(*(self._nodes.mend(node.name) for node in nodes if node.state != "running"))
        await self._orchestrator.mend_api()
        await self._orchestrator.nodes_ready()
        await asyncio.gather(*(self._containers.mend(node.name) for node in nodes))
        await self._cordons.reopen_all()
        if await self._database.deployed():  # rather than another one, or none yet
            await self._database.start()

    def versions(self) -> dict[str, str]:
        return self._versions

    async def _addresses(self, peer: Peer) -> list[Address]:
        addresses: list[Address] = []
        if peer in ("database", "lease and database"):
            addresses += await self._services.addresses(self._deployment.namespace, self._database.service)
        if peer in ("api server", "lease and database"):
            addresses += await self._services.api_server()
        return addresses

    async def _ask_versions(self) -> dict[str, str]:
        told = {name: version(name) for name in ("catalog-server", "ansible-core", "psycopg2-binary")}
        return told | {
            "kubernetes": (await self._api.get("/version"))["gitVersion"],
            "docker": (await run(str(find("docker")), "version", "--format", "{{.Server.Version}}")).strip(),
            "postgresql": (await self.sql("SHOW server_version"))[0]["server_version"],
            "python": platform.python_version(),
            "system": platform.platform(),
        }

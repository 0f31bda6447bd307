"""Nodes of a kind cluster: each is a container of the Docker engine, reached by `docker exec`."""

from dataclasses import dataclass

from ha_verify.targets.kind.commands import find, run
from ha_verify.targets.target import NotPossible

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
EXEC_SECONDS = 90.0  # a machine that runs many nodes may be slow to start a process in one of them


@dataclass(frozen=True, slots=True)
class Node:
    """`state` as Docker tells it: running, paused, exited."""

    name: str
    role: str  # control-plane, worker
    state: str


class Nodes:
    """Never acts on a container that does not carry the label of this cluster."""

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster

    async def all(self) -> list[Node]:
        """By name, those that do not run included."""
        form = '{{.Names}}\t{{.Label "' + ROLE_LABEL + '"}}\t{{.State}}'
        filter_ = f"label={CLUSTER_LABEL}={self._cluster}"
        lines = (await self._docker("ps", "--all", "--filter", filter_, "--format", form)).splitlines()
        nodes = sorted((Node(*line.split("\t")) for line in lines if line), key=lambda node: node.name)
        if not nodes:
            raise NotPossible(f"there is no kind cluster {self._cluster!r} on this machine: make it first (make kind)")
        return nodes

    async def control_plane(self) -> str:
        return next(node.name for node in await self.all() if node.role == "control-plane")

    async def state(self, name: str) -> str:
        nodes = {node.name: node for node in await self.all()}
        if name not in nodes:
            raise NotPossible(f"node = {name!r}: cluster {self._cluster} has {', '.join(nodes)}")
        return nodes[name].state

    async def pause(self, name: str) -> str:
        """All its processes stop, those of its pods included; returns its state."""
        await self.state(name)
        await self._docker("pause", name)
        return await self.state(name)

    async def kill(self, name: str) -> str:
        """As a loss of power; returns its state."""
        await self.state(name)
        await self._docker("kill", name)
        return await self.state(name)

    async def mend(self, name: str) -> str:
        """Whatever it was: afterwards it runs. Returns its state."""
        state = await self.state(name)
        if state == "paused":
            await self._docker("unpause", name)
        elif state != "running":
            await self._docker("start", name)
        return await self.state(name)

    async def script(self, name: str, text: str, *arguments: str, seconds: float = EXEC_SECONDS) -> str:
        """Runs a shell script on the node, as root in its namespaces."""
        return await self._docker("exec", name, "bash", "-euc", text, "ha-verify", *arguments, seconds=seconds)

    def command(self, name: str, text: str, *arguments: str) -> list[str]:
        """What runs such a script with our standard input: for programs that stay."""
        return [str(find("docker")), "exec", "--interactive", name, "bash", "-euc", text, "ha-verify", *arguments]

    async def _docker(self, *arguments: str, seconds: float = EXEC_SECONDS) -> str:
        return await run(str(find("docker")), *arguments, seconds=seconds)

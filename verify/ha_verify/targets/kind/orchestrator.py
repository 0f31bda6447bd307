"""Kubernetes as that which runs the replicas: pods deleted, nodes lost and drained, releases changed."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

from ha_verify.targets.kind.api import Api, ApiRefusal
from ha_verify.targets.kind.control_plane import ControlPlane
from ha_verify.targets.kind.cordons import Cordons
from ha_verify.targets.kind.database import Database
from ha_verify.targets.kind.deployment import NAME, Deployment, until
from ha_verify.targets.kind.nodes import Nodes
from ha_verify.targets.kind.pods import Pod
from ha_verify.targets.playbook import Playbook
from ha_verify.targets.target import NotPossible

STATE = "catalog-server-state"
DRAIN_SECONDS = 180.0
BACK_SECONDS = 120.0
POLL_SECONDS = 0.5
_TOO_MANY_REQUESTS = 429  # the disruption budget's answer


class KindOrchestrator:
    """Implements `Orchestrator`."""

    def __init__(
        self,
        api: Api,
        nodes: Nodes,
        control_plane: ControlPlane,
        deployment: Deployment,
        database: Database,
        cordons: Cordons,
        playbook: Playbook,
        chart_values: Mapping[str, Any],
    ) -> None:
        self._api = api
        self._nodes = nodes
        self._control_plane = control_plane
        self._deployment = deployment
        self._database = database
        self._cordons = cordons
        self._playbook = playbook
        self._chart_values = chart_values

    async def delete(self, replica: str, *, grace: bool) -> None:
        await self._deployment.delete_pod(await self._deployment.pod(replica), grace=grace)

    async def node_of(self, replica: str) -> str:
        return (await self._deployment.pod(replica)).node

    async def node_of_database(self) -> str:
        return await self._database.node()

    async def break_node(self, node: str, how: Literal["pause", "lose"]) -> str:
        if node == await self._nodes.control_plane():
            raise NotPossible(f"{node} is the control plane: take away its API server instead")
        return await (self._nodes.pause(node) if how == "pause" else self._nodes.kill(node))

    async def mend_node(self, node: str) -> str:
        """Returns when the node is Ready, and all others are."""
        await self._nodes.mend(node)
        await self.nodes_ready()
        return await self._nodes.state(node)

    async def nodes_ready(self) -> None:
        """Returns when all are. Raises `NotPossible` with those that are not."""

        async def look() -> str | None:
            items = (await self._api.get("/api/v1/nodes"))["items"]
            unready = [item["metadata"]["name"] for item in items if not is_ready(item)]
            return f"not Ready: {', '.join(unready)}" if unready else None

        await until("every node Ready", BACK_SECONDS, look)

    async def drain(self, node: str) -> dict[str, Any]:
        """Only the replicas are asked to go: what else runs on the node is not the deployment's."""
        await self._cordons.close(node)
        evicted: list[str] = []
        waits = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while leaving := [pod for pod in await self._on(node) if not pod.deleting]:
                    if await self._evict(leaving[0]):
                        evicted.append(leaving[0].name)
                    else:
                        waits += 1
                        await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise NotPossible(f"{node} was not drained within {DRAIN_SECONDS:g} s; gone are {evicted}") from None
        await self._deployment.rolled_out()
        left = [pod.name for pod in await self._on(node)]
        if left:
            raise NotPossible(f"{node} was drained, and yet has {', '.join(left)}")
        return {"node": node, "evicted": evicted, "refused_by_the_budget": waits}

    async def reopen(self, node: str) -> None:
        await self._cordons.reopen(node)

    async def close_all(self) -> None:
        """Every node that takes replicas takes no new ones."""
        for node in await self._nodes.all():
            if node.role == "worker":
                await self._cordons.close(node.name)

    async def break_api(self, how: Literal["frozen", "refused"]) -> str:
        return await self._control_plane.break_api(how)

    async def mend_api(self) -> str:
        await self._control_plane.mend()

        async def look() -> str | None:
            try:
                await self._api.get("/version")
            except ApiRefusal as error:
                return str(error)
            return None

        await until("an answer of the API server", BACK_SECONDS, look)
        return "answered"

    async def upgrade(self) -> str:
        """A mark on the pods makes it another release: no other image is needed."""
        marks = dict(self._chart_values.get("podAnnotations") or {}) | {"ha-verify/upgraded-at": str(int(time.time()))}
        return await self._change_release(
            "upgrade.yml", chart_values=dict(self._chart_values) | {"podAnnotations": marks}
        )

    async def rollback(self) -> str:
        return await self._change_release("rollback.yml")

    async def _change_release(self, playbook: str, **variables: Any) -> str:
        await asyncio.to_thread(self._playbook.run, playbook, **variables)
        await self._deployment.rolled_out()
        return await self.release()

    async def release(self) -> str:
        """The number of the newest one, from where Helm keeps them."""
        selector = f"owner=helm,name={NAME}"
        path = f"/api/v1/namespaces/{self._deployment.namespace}/secrets?labelSelector={selector}"
        revisions = [int(item["metadata"]["labels"]["version"]) for item in (await self._api.get(path))["items"]]
        return str(max(revisions, default=0))

    async def state(self) -> dict[str, Any] | None:
        document = await self._api.find(self._deployment.object_path("configmaps", STATE))
        return None if document is None else dict(document.get("data") or {}) | {"uid": document["metadata"]["uid"]}

    async def delete_state(self) -> None:
        await self._api.delete(self._deployment.object_path("configmaps", STATE))

    async def _on(self, node: str) -> list[Pod]:
        return [pod for pod in await self._deployment.pods() if pod.node == node]

    async def _evict(self, pod: Pod) -> bool:
        """False where the disruption budget does not allow it now."""
        metadata = {"name": pod.name, "namespace": self._deployment.namespace}
        path = f"{self._deployment.object_path('pods', pod.name)}/eviction"
        try:
            await self._api.post(path, {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata})
        except ApiRefusal as error:
            if error.status == _TOO_MANY_REQUESTS:
                return False
            if error.status != 404:
                raise
        return True


def is_ready(node: Mapping[str, Any]) -> bool:
    """Whether its kubelet says so, and was heard lately."""
    conditions = node["status"].get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

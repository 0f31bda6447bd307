"""The state in a ConfigMap, for `kubectl get configmap` and whoever watches it."""

from catalog_server.kubernetes.client import CALL_SECONDS, KubernetesClient, Resource
from catalog_server.kubernetes.object import KubernetesObject
from catalog_server.kubernetes.state import MalformedState, Recorded, State, parse_state

CONFIGMAPS = Resource(group="", kind="ConfigMap", plural="configmaps")


class StateConfigMap:
    """A `StateStore`, on connections of its own, so that it can not keep the lease waiting."""

    def __init__(self, name: str, namespace: str | None = None, *, call_seconds: float = CALL_SECONDS) -> None:
        self.name = name
        self._configmap = KubernetesObject(CONFIGMAPS, name, KubernetesClient(namespace, call_seconds=call_seconds))

    async def get(self) -> Recorded:
        document = await self._configmap.get()
        if document is None:
            return Recorded()
        try:
            return Recorded(state=parse_state(document.get("data") or {}), version=document)
        except MalformedState as error:
            return Recorded(problem=str(error), version=document)

    async def write(self, state: State, expected: Recorded) -> None:
        if expected.version is None:
            await self._configmap.create(data=state.render())
        else:
            await self._configmap.replace(expected.version, data=(expected.version.get("data") or {}) | state.render())

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        await self._configmap.close()

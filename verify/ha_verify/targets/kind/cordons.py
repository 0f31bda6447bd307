"""Nodes that take no new pods: closed by us, and so marked."""

from ha_verify.targets.kind.api import Api

CORDONED = "ha-verify/cordoned"


class Cordons:
    """Whoever else closed a node is let have it so: `reopen_all` goes by our mark."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def close(self, node: str) -> None:
        """Pods that it has stay."""
        await self._cordon(node, True)

    async def reopen(self, node: str) -> None:
        await self._cordon(node, False)

    async def reopen_all(self) -> None:
        """The nodes that we closed, and no others."""
        for item in (await self._api.get("/api/v1/nodes"))["items"]:
            if CORDONED in (item["metadata"].get("annotations") or {}):
                await self._cordon(item["metadata"]["name"], False)

    async def _cordon(self, node: str, closed: bool) -> None:
        mark = {CORDONED: "true" if closed else None}
        document = {"metadata": {"annotations": mark}, "spec": {"unschedulable": closed or None}}
        await self._api.merge(f"/api/v1/nodes/{node}", document)

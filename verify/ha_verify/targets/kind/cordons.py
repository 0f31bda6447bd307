"""Nodes that take no new pods: closed by us, and so marked."""

from collections.abc import Mapping, Sequence
from typing import Any

from ha_verify.targets.kind.api import Api

CORDONED = "ha-verify/cordoned"


class Cordons:
    """Whoever else closed a node is let have it so: only what carries our mark is opened."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def close(self, node: str) -> None:
        """Pods that it has stay."""
        await self._cordon(node, True)

    async def reopen(self, node: str) -> None:
        """Nothing happens where it is open."""
        await self._reopen([await self._api.get(f"/api/v1/nodes/{node}")])

    async def reopen_all(self) -> None:
        await self._reopen((await self._api.get("/api/v1/nodes"))["items"])

    async def _reopen(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        for metadata in (node["metadata"] for node in nodes):
            if CORDONED in (metadata.get("annotations") or {}):
                await self._cordon(metadata["name"], False)

    async def _cordon(self, node: str, closed: bool) -> None:
        mark = {CORDONED: "true" if closed else None}
        document = {"metadata": {"annotations": mark}, "spec": {"unschedulable": closed or None}}
        await self._api.merge(f"/api/v1/nodes/{node}", document)

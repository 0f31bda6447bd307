"""The node of the leader is paused, lost, or drained."""

import time
from typing import Any, Literal

from ha_verify.faults import victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target


class BreakLeadersNode:
    """Paused: everything on it stops, and goes on when it is healed. Lost: everything on it ends without a word.

    The proof: the state of the node, as the machine that it runs on tells it.
    """

    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self, how: Literal["pause", "lose"]) -> None:
        self.name = {"pause": "pause the leader's node", "lose": "loss of the leader's node"}[how]
        self.class_ = {"pause": "node-pause", "lose": "node-loss"}[how]
        self._how: Literal["pause", "lose"] = how
        self._broken: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        name = await victims.leader(target)
        node = await target.orchestrator.node_of(name)
        claims = await victims.claims_of(target, name)
        self._broken = node
        struck_at = time.time()
        state = await target.orchestrator.break_node(node, self._how)
        if state == "running":
            raise FaultFailed(f"{node} runs all the same")
        return {"replica": name, "node": node, "state": state, "claims": claims, "struck_at": struck_at}

    async def heal(self, target: Target) -> dict[str, Any]:
        if self._broken is None:
            return {}
        node, self._broken = self._broken, None
        return {"node": node, "state": await target.orchestrator.mend_node(node)}


class DrainLeadersNode:
    """Its replicas are asked to go, no faster than the disruption budget allows. The proof: none is left there."""

    name, class_ = "drain of the leader's node", "drain"
    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self) -> None:
        self._closed: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        name = await victims.leader(target)
        self._closed = await target.orchestrator.node_of(name)
        proof = await target.orchestrator.drain(self._closed)
        if name not in proof["evicted"]:
            raise FaultFailed(f"{name} was not asked to go, only {proof['evicted']}")
        return proof

    async def heal(self, target: Target) -> dict[str, Any]:
        if self._closed is None:
            return {}
        node, self._closed = self._closed, None
        await target.orchestrator.reopen(node)
        return {"node": node}

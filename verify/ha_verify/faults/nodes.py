"""The node of the leader is paused, lost, or drained."""

import time
from typing import Any, Literal

from ha_verify.faults import seen, victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target

HAND_OVER_SECONDS = 60.0


class BreakLeadersNode:
    """Paused: everything on it stops, and goes on when it is healed. Lost: everything on it ends without a word.

    A leader beside the database hands over first, to one that is not: the loss of the database is another fault. The
    proof: the state of the node, as the machine that it runs on tells it.
    """

    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self, how: Literal["pause", "lose"]) -> None:
        self.name = {"pause": "pause the leader's node", "lose": "loss of the leader's node"}[how]
        self.class_ = {"pause": "node-pause", "lose": "node-loss"}[how]
        self._how: Literal["pause", "lose"] = how
        self._broken: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        name, node = await _apart_from_the_database(target)
        claims = await victims.claims_of(target, name)
        self._broken = node
        struck_at = time.time()
        state = await break_node(target, node, self._how)
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


async def break_node(target: Target, node: str, how: Literal["pause", "lose"]) -> str:
    """Its state afterwards. Raises `FaultFailed` where it runs all the same."""
    state = await target.orchestrator.break_node(node, how)
    if state == "running":
        raise FaultFailed(f"{node} runs all the same")
    return state


async def _apart_from_the_database(target: Target) -> tuple[str, str]:
    """The leader and its node."""
    orchestrator = target.orchestrator
    spared = await orchestrator.node_of_database()

    async def leads_elsewhere() -> bool:
        name = await target.leader()
        there = {each.name for each in await target.replicas()}
        return name in there and name is not None and await orchestrator.node_of(name) != spared

    if not await leads_elsewhere():
        await orchestrator.delete(await victims.leader(target), grace=True)
        await seen.until("a leader on another node than the database", HAND_OVER_SECONDS, leads_elsewhere)
    name = await victims.leader(target)
    return name, await orchestrator.node_of(name)

"""The database's primary is handed over, lost or paused and replaced; or one of its replicas is away."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Literal

from ha_verify.faults import seen, victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.faults.nodes import break_node
from ha_verify.targets import Member, Members, Need, Target

Loss = Literal["kill", "crash", "pause", "isolate", "pause its node", "lose its node"]

NEEDS: tuple[Need, ...] = ("database members",)
SILENT_SECONDS = 1.0  # how long a primary goes on alone before it is lost: writes for several of its clients
RETURN_SECONDS = 3.0  # how long a former primary is let do whatever it does when it is back
WRITE_POLL_SECONDS = 0.1
WRITABLE_SECONDS = 60.0  # from when the procedure is over; it has usually happened before

_NAMES: Mapping[Loss, str] = {
    "kill": "loss of the primary",
    "crash": "crash of the primary",
    "pause": "pause of the primary",
    "isolate": "isolation of the primary",
    "pause its node": "pause of the primary's node",
    "lose its node": "loss of the primary's node",
}
_CLASSES: Mapping[Loss, str] = {
    "isolate": "database-isolation",
    "pause its node": "database-node",
    "lose its node": "database-node",
}
_MORE_NEEDS: Mapping[Loss, tuple[Need, ...]] = {
    "crash": ("crashed members",),
    "isolate": ("networks of members",),
    "pause its node": ("orchestrator",),
    "lose its node": ("orchestrator",),
}


class SwitchOver:
    """To another member, as planned. The proof: another one is the primary, on a newer timeline."""

    name, class_, needs = "planned switchover", "database-switchover", NEEDS

    async def inject(self, target: Target) -> dict[str, Any]:
        members = target.members
        before, struck_at = await members.primary(), time.time()
        watch = asyncio.create_task(_writable_at(members, before))
        try:
            told = await members.switch_over()
            return await _proof(members, before, watch) | {"struck_at": struck_at, "procedure": dict(told)}
        finally:
            watch.cancel()

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}


class LosePrimary:
    """All its processes are killed, or stopped, at once, or it is isolated, and it is replaced; then it comes back.

    Or they are killed, and started again by whatever keeps them up, while others already see to a successor. Isolated,
    it runs, and its clients still reach it, and others find it; the other members and whoever decides do not. With its
    node goes whatever else runs there. The proof: its port refuses connections or says nothing, or the others do to it,
    or what it writes is sent to nobody, or the node is seen to be broken; and another member took a write on a newer
    timeline.
    `silenced`: for a second before, its replicas get nothing of what it writes. `with_leader`: the leader of the
    catalog is killed at the same moment. `returns`: before it is made a replica it is started as it was, as by the
    return of its machine. One that was paused is always woken first, one that was isolated connected again.
    """

    def __init__(self, how: Loss, *, silenced: bool = False, with_leader: bool = False, returns: bool = False) -> None:
        self.name = _NAMES[how]
        self.name += " behind which its replicas were" if silenced else ""
        self.name += " and of the leader" if with_leader else ""
        self.name += ", which returns" if returns else ""
        self.class_ = "database-and-leader" if with_leader else _CLASSES.get(how, "database-failover")
        self.needs: tuple[Need, ...] = (*NEEDS, *_MORE_NEEDS.get(how, ()))
        self._how, self._silenced, self._with_leader, self._returns = how, silenced, with_leader, returns
        self._lost = ""
        self._node: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        members = target.members
        before = await members.primary()
        proof: dict[str, Any] = {"member": before.name}
        leader = await _Leader.find(target) if self._with_leader else None
        if self._silenced:
            proof["silenced"] = await members.silence(before.name)
            await asyncio.sleep(SILENT_SECONDS)  # writes are asked for meanwhile
        if self.class_ == "database-node":
            self._node = await target.orchestrator.node_of_database()
            proof |= {"node": self._node, "replica": await _replica_on(target, self._node)}
        self._lost = before.name
        proof["struck_at"] = time.time()
        strikes = [self._strike(target, before.name)]
        if leader is not None:
            strikes.append(leader.kill())
        proof["seen"] = await asyncio.gather(*strikes)
        watch = asyncio.create_task(_writable_at(members, before))
        try:
            proof["procedure"] = await members.fail_over(before.name)
            proof |= await _proof(members, before, watch)
        finally:
            watch.cancel()
        if leader is not None:
            proof |= await leader.proof()
        return proof

    async def _strike(self, target: Target, name: str) -> str:
        if self._node is not None:
            how: Literal["pause", "lose"] = "pause" if self._how == "pause its node" else "lose"
            return f"{self._node} is {await break_node(target, self._node, how)}"
        members = target.members
        strike = {"kill": members.lose, "crash": members.crash, "pause": members.pause, "isolate": members.isolate}
        return await strike[self._how](name)

    async def heal(self, target: Target) -> dict[str, Any]:
        if not self._lost:
            return {}
        name, self._lost = self._lost, ""
        proof: dict[str, Any] = {"member": name}
        if self._how == "pause":
            proof["woken"] = await target.members.resume(name)
        if self._how == "isolate":
            proof["reconnected"] = await target.members.reconnect(name)
        if self._node is not None:
            node, self._node = self._node, None
            proof["state"] = await target.orchestrator.mend_node(node)
        if self._returns:
            proof["started"] = await target.members.start(name)
        if self._how not in ("kill", "crash") or self._returns:
            await asyncio.sleep(RETURN_SECONDS)  # what it does now is what the run is about
        return proof | {"rejoined": await target.members.rejoin(name)}


class LoseReplica:
    """A standby is killed or paused. The proof: its port refuses connections or says nothing."""

    class_, needs = "database-replica", NEEDS

    def __init__(self, how: Literal["kill", "pause"], nth: int = 0) -> None:
        self.name = {"kill": "loss of a replica of the database", "pause": "pause of a replica of the database"}[how]
        self._how, self._nth = how, nth
        self._lost = ""

    async def inject(self, target: Target) -> dict[str, Any]:
        members = target.members
        primary = await members.primary()
        others = [name for name in await members.names() if name != primary.name]
        name = others[self._nth % len(others)]
        if not (await members.look(name)).follows:
            raise FaultFailed(f"{name} follows nobody already")
        self._lost = name
        struck_at = time.time()
        told = await (members.lose(name) if self._how == "kill" else members.pause(name))
        return {"member": name, "seen": told, "struck_at": struck_at}

    async def heal(self, target: Target) -> dict[str, Any]:
        if not self._lost:
            return {}
        name, self._lost = self._lost, ""
        if self._how == "pause":
            await target.members.resume(name)
        else:
            await target.members.start(name)
        return {"member": name, "rejoined": await target.members.rejoin(name)}


class _Leader:
    """The leader of the catalog, to be killed."""

    def __init__(self, target: Target, name: str, instance: str) -> None:
        self._target, self._name, self._instance = target, name, instance

    @classmethod
    async def find(cls, target: Target) -> "_Leader":
        name = await victims.leader(target)
        return cls(target, name, (await seen.replica(target, name)).instance)

    async def kill(self) -> str:
        await self._target.signal(self._name, "KILL")
        return f"{self._name} was killed"

    async def proof(self) -> dict[str, Any]:
        successor = await seen.instance_other_than(self._target, self._name, self._instance, WRITABLE_SECONDS)
        return {"replica": self._name, "instance": self._instance, "successor": successor}


async def _replica_on(target: Target, node: str) -> str | None:
    """One of the catalog that goes with the node; None where there is none."""
    for replica in await target.replicas():
        if await target.orchestrator.node_of(replica.name) == node:
            return replica.name
    return None


async def _writable_at(members: Members, before: Member) -> float:
    """When another member than before acknowledged a write, in seconds since 1970."""
    others = [name for name in await members.names() if name != before.name]

    async def take_a_write(name: str) -> float:
        while True:
            try:
                if await members.write(name) > before.timeline:
                    return time.time()
            except Exception:  # it refuses, or does not answer: told by the observer's samples
                await asyncio.sleep(WRITE_POLL_SECONDS)

    tasks = [asyncio.create_task(take_a_write(name)) for name in others]
    try:
        for first in asyncio.as_completed(tasks):
            return await first
        raise FaultFailed("there is no other member")
    finally:
        for task in tasks:
            task.cancel()


async def _proof(members: Members, before: Member, watch: "asyncio.Task[float]") -> dict[str, Any]:
    """Who took over. Raises `FaultFailed` where nobody did."""
    try:
        writable_at = await asyncio.wait_for(watch, WRITABLE_SECONDS)
    except TimeoutError:
        raise FaultFailed(f"no other member than {before.name} took a write within {WRITABLE_SECONDS:g} s") from None
    after = await members.primary()
    if after.name == before.name or after.timeline <= before.timeline:
        raise FaultFailed(f"{before.name} is the primary still, on timeline {after.timeline}")
    return {"primary": after.name, "timelines": [before.timeline, after.timeline], "writable_at": writable_at}

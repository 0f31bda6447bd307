"""One replica is cut off from the database and from its lease, or from one of the two where they are apart."""

import time
from typing import Any

from ha_verify.faults import victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target
from ha_verify.targets.target import Cut, Peer


class _CutOff:
    """See `targets.Cut` for how. The target proves it: it looks at the connection itself, and returns what it saw.

    Readiness is no proof: whether a replica that is cut off says so is what is to be found out.
    """

    def __init__(self, victim: str, how: Cut, choose: victims.Choice, peer: Peer) -> None:
        self.name = f"{victim} cut off from the {peer} ({how})"
        if peer == "lease and database":
            self.name = f"{victim} cut off from the database ({how})"
        self.class_ = "api-partition" if peer == "api server" else "partition"
        self.needs = _needs(how, peer)
        self._how: Cut = how
        self._peer: Peer = peer
        self._choose = choose
        self._cut_off: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        name = await self._choose(target)
        self._cut_off = name
        struck_at = time.time()
        seen = await target.cut_off(name, self._how, self._peer)
        if not seen:
            raise FaultFailed(f"the target can not tell whether {name} is cut off")
        return {"replica": name, "how": self._how, "from": self._peer, "connection": seen, "struck_at": struck_at}

    async def heal(self, target: Target) -> dict[str, Any]:
        if self._cut_off is None:
            return {}
        name, self._cut_off = self._cut_off, None
        return {"replica": name, "connection": await target.reconnect(name)}


class CutOffLeader(_CutOff):
    def __init__(self, how: Cut, peer: Peer = "lease and database") -> None:
        super().__init__("leader", how, victims.leader, peer)


class CutOffReplica(_CutOff):
    """A replica that does not lead."""

    def __init__(self, how: Cut, nth: int = 0, peer: Peer = "lease and database") -> None:
        super().__init__("follower", how, victims.follower(nth), peer)


def _needs(how: Cut, peer: Peer) -> tuple[Need, ...]:
    needs: tuple[Need, ...] = ("partitions",)
    if how == "cut":
        needs += ("cut connections",)
    if how in ("deaf", "mute"):
        needs += ("one-way cuts",)
    if peer != "lease and database":
        needs += ("orchestrator",)
    return needs

"""One replica is cut off from the database, and so from its lease."""

from typing import Any

from ha_verify.faults import victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Target
from ha_verify.targets.target import Cut


class _CutOff:
    """See `targets.Cut` for how. The target proves it: it looks at the connection itself, and returns what it saw.

    Readiness is no proof: whether a replica that is cut off says so is what is to be found out.
    """

    class_ = "partition"

    def __init__(self, name: str, how: Cut, choose: victims.Choice) -> None:
        self.name = name
        self._how: Cut = how
        self._choose = choose
        self._cut_off: str | None = None

    async def inject(self, target: Target) -> dict[str, Any]:
        name = await self._choose(target)
        self._cut_off = name
        seen = await target.cut_off(name, self._how)
        if not seen:
            raise FaultFailed(f"the target can not tell whether {name} is cut off")
        return {"replica": name, "how": self._how, "connection": seen}

    async def heal(self, target: Target) -> dict[str, Any]:
        if self._cut_off is None:
            return {}
        name, self._cut_off = self._cut_off, None
        return {"replica": name, "connection": await target.reconnect(name)}


class CutOffLeader(_CutOff):
    def __init__(self, how: Cut) -> None:
        super().__init__(f"leader cut off from the database ({how})", how, victims.leader)


class CutOffReplica(_CutOff):
    """A replica that does not lead."""

    def __init__(self, how: Cut, nth: int = 0) -> None:
        super().__init__(f"follower cut off from the database ({how})", how, victims.follower(nth))

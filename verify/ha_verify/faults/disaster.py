"""The database or its data are lost, and somebody follows the runbook. The class of all is `disaster`.

The proof tells for the judges: `method`; `struck_at`, and `gone_at`, when all of the destruction was seen; `script`,
the words of the runbook that were run, and when (`began_at`, `ended_at`), or how they `failed`. Times are seconds since
1970.
"""

import asyncio
import time
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from ha_verify.faults.fault import FaultFailed
from ha_verify.runbook import step
from ha_verify.targets import Need, NotPossible, Target

Method = Literal["failover", "archive", "moment", "dump"]

# Of the backup when the disaster strikes: for writes that are in the archive alone, or not in the dump.
AGE_SECONDS = 5.0
NOTICED_SECONDS = 2.0  # clients go on after the mistaken deletion


class Disaster:
    """The base of all: what is needed before, the disaster, and the block of the runbook for the method."""

    class_ = "disaster"
    needs: tuple[Need, ...] = ("database members", "backups")
    name: str
    method: Method

    async def inject(self, target: Target) -> dict[str, Any]:
        proof: dict[str, Any] = {"method": self.method}
        if self.method != "failover":
            proof["prepared_at"] = time.time()
            await target.drill.follow(step(f"{self.method}-before"))
            await asyncio.sleep(AGE_SECONDS)
        proof |= await self.strike(target)
        script = step(self.method)
        proof |= {"script": script.splitlines(), "began_at": time.time()}
        try:
            await target.drill.follow(script, **self.settings(proof))
        except NotPossible as error:  # no failure of the drill's: it is what the drill is there to find
            return proof | {"failed": str(error)}
        return proof | {"ended_at": time.time()} | await self.look(target, proof)

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}

    async def strike(self, target: Target) -> dict[str, Any]:
        """Returns `struck_at`, `gone_at` and what was seen. Raises `FaultFailed` where nothing was destroyed."""
        raise NotImplementedError

    def settings(self, proof: dict[str, Any]) -> dict[str, str]:
        """Variables of the runbook that depend on what has happened."""
        return {}

    async def look(self, target: Target, proof: dict[str, Any]) -> dict[str, Any]:
        """What else is to be seen when the runbook has been followed."""
        return {}


class LosePrimaryWithData(Disaster):
    """Its processes are killed and its data deleted; a replica takes its place, and it is made anew."""

    name, method = "loss of the primary's data: failover", "failover"

    def __init__(self) -> None:
        self._lost = ""

    async def strike(self, target: Target) -> dict[str, Any]:
        self._lost = (await target.members.primary()).name
        return {"member": self._lost, **await _destroy(target, [self._lost])}

    async def heal(self, target: Target) -> dict[str, Any]:
        if not self._lost:
            return {}
        name, self._lost = self._lost, ""
        script = step("failover-after")
        await target.drill.follow(script, LOST=name)
        return {"member": name, "script": script.splitlines()}


class LoseAllData(Disaster):
    """All members' processes are killed and their data deleted, the primary's first."""

    def __init__(self, method: Literal["archive", "dump"]) -> None:
        self.method = method
        restored = {"archive": "backup and archive", "dump": "the newest dump"}[method]
        self.name = f"loss of all data: {restored}"

    async def strike(self, target: Target) -> dict[str, Any]:
        primary = (await target.members.primary()).name
        others = [name for name in await target.members.names() if name != primary]
        return await _destroy(target, [primary, *others])


class DeleteRows(Disaster):
    """All acknowledged writes are deleted by mistake; clients go on for a while, whose writes are given up."""

    name, method = "mistaken DELETE: return to a moment", "moment"

    async def strike(self, target: Target) -> dict[str, Any]:
        rows = await target.drill.delete_rows()
        gone_at = time.time()
        left = await target.drill.rows_until(rows.moment)
        if not rows.count or left.count:
            raise FaultFailed(f"of {rows.count} rows {left.count} are there after the deletion")
        await asyncio.sleep(NOTICED_SECONDS)
        return {"struck_at": datetime.fromisoformat(rows.moment).timestamp(), "gone_at": gone_at, "rows": asdict(rows)}

    def settings(self, proof: dict[str, Any]) -> dict[str, str]:
        return {"MOMENT": proof["rows"]["moment"]}

    async def look(self, target: Target, proof: dict[str, Any]) -> dict[str, Any]:
        return {"restored": asdict(await target.drill.rows_until(proof["rows"]["moment"]))}


async def _destroy(target: Target, members: list[str]) -> dict[str, Any]:
    struck_at = time.time()
    seen = await target.drill.destroy(members)
    return {"struck_at": struck_at, "gone_at": time.time(), "seen": seen}

"""The disk under the database is full."""

from typing import Any

from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target


class FillDisk:
    """The proof: so many bytes were free, and none is now."""

    name, class_ = "full disk under PostgreSQL", "disk"
    needs: tuple[Need, ...] = ("disk",)

    async def inject(self, target: Target) -> dict[str, Any]:
        taken = await target.fill_disk()
        if not taken:
            raise FaultFailed("the disk was full already")
        return {"taken_bytes": taken}

    async def heal(self, target: Target) -> dict[str, Any]:
        await target.heal()
        return {"sql": (await target.sql("SELECT 'answered' AS said"))[0]["said"]}

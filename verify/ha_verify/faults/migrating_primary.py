"""The database's primary is lost in the midst of a migration."""

from typing import Any

from ha_verify.faults import seen
from ha_verify.faults.cold_start import START_SECONDS, migration_held
from ha_verify.faults.members import NEEDS, LosePrimary
from ha_verify.targets import Target


class LoseMigratingPrimary:
    """All replicas start at once on a half-migrated schema; in the midst of the rest the primary is killed.

    The proof: that of the loss, whose session held the migration lock, and that as many replicas run as before.
    """

    name, class_, needs = "loss of the primary during a migration", "database-and-migration", NEEDS

    def __init__(self) -> None:
        self._loss = LosePrimary("kill")

    async def inject(self, target: Target) -> dict[str, Any]:
        count = len(await target.replicas())
        await target.start_cold("half-migrated", count)
        async with migration_held(target) as holder:
            proof = await self._loss.inject(target)

        async def all_run() -> bool:
            return sum(each.running for each in await target.replicas()) == count

        await seen.until(f"{count} replicas that run", START_SECONDS, all_run)
        return proof | {"killed": {"migration of": holder}}

    async def heal(self, target: Target) -> dict[str, Any]:
        return await self._loss.heal(target)

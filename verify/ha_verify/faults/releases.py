"""Another release is rolled out, and taken back."""

from typing import Any

from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target


class ChangeRelease:
    """The way a user upgrades, or goes back. The proof: the release is another one, and so is every replica."""

    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self, *, back: bool = False) -> None:
        self.name = "rollback of the release" if back else "upgrade of the release"
        self.class_ = "roll"
        self._back = back

    async def inject(self, target: Target) -> dict[str, Any]:
        before = {each.name: each.instance for each in await target.replicas()}
        orchestrator = target.orchestrator
        release = await (orchestrator.rollback() if self._back else orchestrator.upgrade())
        after = {each.name: each.instance for each in await target.replicas()}
        same = set(before.values()) & set(after.values())
        if same:
            raise FaultFailed(f"release {release} is there, and yet these are not replaced: {', '.join(same)}")
        return {"release": release, "before": before, "after": after}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}

"""A replica is deleted from the orchestrator, which makes another one in its place."""

import time
from typing import Any

from ha_verify.faults import seen, victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target

REPLACED_SECONDS = 120.0  # an orderly end, and the start of another one


class _Delete:
    """With grace: in order, as a drain or a rollout does it. Without: at once, as SIGKILL does.

    The proof: the replica is gone, and one that was not there before runs.
    """

    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self, victim: str, choose: victims.Choice, grace: bool) -> None:
        role = "leader" if victim == "the leader" else "replica"
        self.name = f"delete {victim}" + ("" if grace else " at once")
        self.class_ = f"{role}-{'delete' if grace else 'kill'}"
        self._choose = choose
        self._grace = grace

    async def inject(self, target: Target) -> dict[str, Any]:
        name = await self._choose(target)
        before = {each.name: each.instance for each in await target.replicas()}
        if name not in before:
            raise FaultFailed(f"{name} was chosen, but is not among {', '.join(before)}")
        claims = await victims.claims_of(target, name)
        struck_at = time.time()
        await target.orchestrator.delete(name, grace=self._grace)
        successors: list[str] = []

        async def another_runs() -> bool:
            now = await target.replicas()
            successors[:] = [each.name for each in now if each.running and each.name not in before]
            return bool(successors) and name not in {each.name for each in now}

        await seen.until(f"a replica in the place of {name}", REPLACED_SECONDS, another_runs)
        return {
            "replica": name,
            "instance": before[name],
            "claims": claims,
            "struck_at": struck_at,
            "successor": successors[0],
        }

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}


class DeleteLeader(_Delete):
    def __init__(self, *, grace: bool = True) -> None:
        super().__init__("the leader", victims.leader, grace)


class DeleteReplica(_Delete):
    """A replica that does not lead."""

    def __init__(self, nth: int = 0, *, grace: bool = True) -> None:
        super().__init__("a follower", victims.follower(nth), grace)


class DeleteWorker(_Delete):
    """A replica that works on a job at this moment."""

    def __init__(self, nth: int = 0, *, grace: bool = False) -> None:
        super().__init__("a worker", victims.worker(nth), grace)

"""The orchestrator's API is away, for everybody; what it keeps for the leader is lost."""

import time
from typing import Any, Literal

from ha_verify.faults import seen, victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target

STATE_SECONDS = 60.0


class ApiServerOutage:
    """Frozen: connections stay open and nothing comes; refused: they end, and new ones are refused.

    The proof: what became of a call to it.
    """

    class_ = "api-server"
    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self, how: Literal["frozen", "refused"]) -> None:
        self.name = f"API server outage ({how})"
        self._how: Literal["frozen", "refused"] = how

    async def inject(self, target: Target) -> dict[str, Any]:
        leader = await victims.leader(target)
        struck_at = time.time()
        return {"said": await target.orchestrator.break_api(self._how), "led": leader, "struck_at": struck_at}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {"said": await target.orchestrator.mend_api()}


class LoseState:
    """What the leader keeps with the orchestrator is deleted, and with `kill_leader` the leader is killed as well.

    The proof: there was something, and it is made again, as another object.
    """

    needs: tuple[Need, ...] = ("orchestrator",)

    def __init__(self, *, kill_leader: bool = False) -> None:
        self.name = "state deleted" + (", leader killed" if kill_leader else "")
        self.class_ = "leader-kill" if kill_leader else "state"
        self._kill_leader = kill_leader

    async def inject(self, target: Target) -> dict[str, Any]:
        before = await target.orchestrator.state()
        if before is None:
            raise FaultFailed("there was no state to be lost: is the setting state_configmap on?")
        leader = await victims.leader(target)
        struck_at = time.time()
        await target.orchestrator.delete_state()
        if self._kill_leader:
            await target.signal(leader, "KILL")

        async def it_is_back() -> bool:
            now = await target.orchestrator.state()
            return now is not None and now["uid"] != before["uid"]

        await seen.until("the state, made again", STATE_SECONDS, it_is_back)
        after = await target.orchestrator.state()
        return {"replica": leader, "before": before, "after": after, "struck_at": struck_at}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}

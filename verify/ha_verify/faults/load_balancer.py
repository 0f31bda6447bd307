"""The load balancer ends abruptly and is started again."""

from typing import Any

from ha_verify.faults import seen
from ha_verify.targets import Need, Target

BACK_SECONDS = 30.0


class RestartLoadBalancer:
    """The proof: the target saw another process in its place, and it answers."""

    name, class_ = "load balancer restart", "load-balancer"
    needs: tuple[Need, ...] = ("load balancer",)

    async def inject(self, target: Target) -> dict[str, Any]:
        await target.restart_load_balancer()

        async def look() -> bool:
            return (await seen.answers(target.base_url)).isdigit()

        await seen.until("an answer of the load balancer", BACK_SECONDS, look)
        return {"healthz": await seen.answers(target.base_url)}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}

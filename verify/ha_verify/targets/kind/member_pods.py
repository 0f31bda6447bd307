"""The pods of the database's members, which the release beside the server has."""

from collections.abc import Mapping
from typing import Any

import yaml

from ha_verify.targets.kind.api import Api
from ha_verify.targets.kind.deployment import NAME as SERVER
from ha_verify.targets.kind.deployment import until
from ha_verify.targets.kind.pods import LabelledPods, Pod

NAME = f"{SERVER}-db"
CONTAINER = "postgresql"
SELECTOR = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=member"
PORT = 5432
RUN_SECONDS = 180.0  # a volume is bound to its node, an image is there, and the machine has less than a core for each


class MemberPods(LabelledPods):
    """Raises `NotPossible` where the API says no, or something does not happen in time."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace, selector=SELECTOR, container=CONTAINER, word="member")
        self._set = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{NAME}"

    async def deployed(self) -> bool:
        return await self._api.find(self._set) is not None

    async def names(self) -> list[str]:
        """By number, whether their pods are there or not."""
        spec = (await self._api.get(self._set))["spec"]
        return [f"{NAME}-{number}" for number in range(int(spec["replicas"]))]

    async def database(self) -> str:
        """The name of the one that is the application's."""
        containers = (await self._api.get(self._set))["spec"]["template"]["spec"]["containers"]
        variables = next(each["env"] for each in containers if each["name"] == CONTAINER)
        return str(next(each["value"] for each in variables if each["name"] == "DATABASE_NAME"))

    async def failover(self) -> Mapping[str, Any]:
        """What Patroni is told of the cluster: `ttl`, `loop_wait`, `retry_timeout`, all in seconds, and more."""
        path = self.object_path("configmaps", f"{NAME}-patroni")
        return dict(yaml.safe_load((await self._api.get(path))["data"]["patroni.yaml"])["bootstrap"]["dcs"])

    async def running(self, *members: str) -> None:
        """Returns when these pods run."""

        async def look() -> str | None:
            there = {pod.name for pod in await self.pods() if pod.counts and pod.running}
            missing = [name for name in members if name not in there]
            return f"{', '.join(missing)} do not run" if missing else None

        await until("every member's pod", RUN_SECONDS, look)

    async def replaced(self, former: Pod) -> Pod:
        """Returns the pod of this name when it is another one, or runs another container."""
        found: list[Pod] = []

        async def look() -> str | None:
            found[:] = [pod for pod in await self.pods() if pod.name == former.name and pod.counts]
            if found and (found[0].uid, found[0].container) != (former.uid, former.container):
                return None
            return f"{former.name} is told to be as it was"

        await until(f"a successor of {former.name}'s container", RUN_SECONDS, look)
        return found[0]

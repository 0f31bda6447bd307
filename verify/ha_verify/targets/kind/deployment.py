"""The Deployment of the replicas: its pods, their number, and the end of a rollout."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ha_verify.targets.kind.api import Api
from ha_verify.targets.kind.commands import find, run
from ha_verify.targets.kind.pods import LabelledPods, Pod
from ha_verify.targets.target import NotPossible

NAME = CONTAINER = "catalog-server"
SELECTOR = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component=server"
ROLLOUT_SECONDS = 240.0
POLL_SECONDS = 0.5
EXEC_SECONDS = 60.0


class Deployment(LabelledPods):
    """Raises `NotPossible` where the API says no, or something does not happen in time."""

    def __init__(self, api: Api, namespace: str) -> None:
        super().__init__(api, namespace, selector=SELECTOR, container=CONTAINER, word="replica")
        self.path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}"

    async def document(self) -> dict[str, Any]:
        return await self._api.get(self.path)

    async def restart(self) -> None:
        """As `kubectl rollout restart` does it; does not wait."""
        mark = {"ha-verify/restarted-at": time.strftime("%FT%TZ", time.gmtime())}
        await self._api.merge(self.path, {"spec": {"template": {"metadata": {"annotations": mark}}}})

    async def rolled_out(self, seconds: float = ROLLOUT_SECONDS) -> None:
        """Returns when as many as wanted are available, all of the newest template, and no pod is still going."""

        async def look() -> str | None:
            document = await self.document()
            amiss = unfinished(document)
            if amiss:
                return amiss
            going = [pod.name for pod in await self.pods() if pod.deleting]
            if going:
                return f"still going: {', '.join(going)}"
            there, wanted = len(await self.pods()), document["spec"]["replicas"]
            return None if there == wanted else f"{there} of {wanted} pods are there"

        await until("the rollout", seconds, look)

    async def gone(self, pods: Sequence[Pod], seconds: float = ROLLOUT_SECONDS) -> None:
        """Returns when none of these is there any more."""
        uids = {pod.uid for pod in pods}

        async def look() -> str | None:
            names = [pod.name for pod in await self.pods() if pod.uid in uids]
            return f"there are {', '.join(names)}" if names else None

        await until("the end of the pods", seconds, look)

    async def execute(self, *command: str) -> str:
        """What a command prints in one of the pods."""
        running = next((pod for pod in await self.pods() if pod.counts and pod.running), None)
        if running is None:
            raise NotPossible(f"no pod runs in which {' '.join(command)} could be run")
        words = ("--kubeconfig", str(self._api.kubeconfig), "--namespace", self.namespace)
        return await run(
            str(find("kubectl")), *words, "exec", running.name, "-c", CONTAINER, "--", *command, seconds=EXEC_SECONDS
        )

    async def settings(self) -> dict[str, Any]:
        """All settings of the replicas, defaults included, as the server itself reads them."""
        return dict(json.loads(await self.execute(NAME, "config", "check", "--json"))["settings"])

    async def execute_aside(self, *command: str) -> None:
        """In a pod of its own, made like the replicas, while none of those may run."""
        name = "ha-verify-command"
        template = (await self.document())["spec"]["template"]
        path = self.object_path("pods", name)
        await self._api.delete(path, grace_seconds=0)
        await self._api.post(
            f"/api/v1/namespaces/{self.namespace}/pods", aside(name, self.namespace, template, command)
        )

        async def look() -> str | None:
            phase = (await self._api.get(path))["status"].get("phase")
            if phase == "Failed":
                raise NotPossible(f"{' '.join(command)} failed: see kubectl logs {name}")
            return None if phase == "Succeeded" else f"the pod is {phase}"

        await until(" ".join(command), EXEC_SECONDS, look)
        await self._api.delete(path, grace_seconds=0)


def unfinished(document: dict[str, Any]) -> str | None:
    """What a Deployment still waits for; None where its rollout is complete."""
    status, wanted = document.get("status") or {}, document["spec"]["replicas"]
    if status.get("observedGeneration", 0) < document["metadata"]["generation"]:
        return "the change was not seen yet"
    for field in ("updatedReplicas", "availableReplicas", "replicas"):
        if status.get(field, 0) != wanted:
            return f"{field} is {status.get(field, 0)}, wanted are {wanted}"
    return None


def aside(name: str, namespace: str, template: dict[str, Any], command: tuple[str, ...]) -> dict[str, Any]:
    """A pod for one command: as the template says, but unknown to any Service. It ends, and closed nodes take it."""
    spec = {key: value for key, value in template["spec"].items() if key != "topologySpreadConstraints"}
    main = next(each for each in spec["containers"] if each["name"] == CONTAINER)
    probes = ("livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "ports", "args")
    tolerations = [*(spec.get("tolerations") or []), {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
    container = {key: value for key, value in main.items() if key not in probes} | {"command": list(command)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app.kubernetes.io/part-of": "ha-verify"}},
        "spec": spec | {"containers": [container], "restartPolicy": "Never", "tolerations": tolerations},
    }


async def until(what: str, seconds: float, look: Callable[[], Awaitable[str | None]]) -> None:
    """`look` returns what is still amiss, None at the end. Raises `NotPossible` after `seconds`."""
    amiss: str | None = "nothing was seen"
    try:
        async with asyncio.timeout(seconds):
            # What is looked at has no event to wait for.
            while (amiss := await look()) is not None:  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise NotPossible(f"{what} was not seen within {seconds:g} s: {amiss}") from None

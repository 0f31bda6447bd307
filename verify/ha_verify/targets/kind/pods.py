"""Pods of a workload, as the API tells of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ha_verify.targets.kind.api import Api
from ha_verify.targets.target import NotPossible, Replica

HTTP_PORT = 8080


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod and its main container. `container` is the id that the node's containerd knows.

    What it does not have yet is empty.
    """

    name: str
    uid: str
    node: str
    ip: str
    container: str
    running: bool
    ready: bool
    restarts: int
    deleting: bool

    @property
    def counts(self) -> bool:
        """Whether it is one of the replicas that there are, rather than one that goes."""
        return not self.deleting

    def replica(self, proxy_url: str, namespace: str) -> Replica:
        url = f"{proxy_url}/api/v1/namespaces/{namespace}/pods/{self.name}:{HTTP_PORT}/proxy"
        return Replica(self.name, url, self.running, self.container[:12] if self.running else "")


class LabelledPods:
    """The pods of one workload, which messages call by `word`. Raises `NotPossible` where the API says no."""

    def __init__(self, api: Api, namespace: str, *, selector: str, container: str, word: str) -> None:
        self._api = api
        self.namespace = namespace
        self._selector, self._container, self._word = selector, container, word

    def object_path(self, kind: str, name: str) -> str:
        """Of an object of the core group in our namespace."""
        return f"/api/v1/namespaces/{self.namespace}/{kind}/{name}"

    async def pods(self) -> list[Pod]:
        """Those that go included."""
        path = f"/api/v1/namespaces/{self.namespace}/pods?labelSelector={self._selector}"
        return parse(await self._api.get(path), self._container)

    async def pod(self, name: str) -> Pod:
        found = {each.name: each for each in await self.pods() if each.counts}
        if name not in found:
            raise NotPossible(f"{self._word} {name!r}: there are {', '.join(found) or 'none'}")
        return found[name]

    async def delete_pod(self, pod: Pod, *, grace: bool) -> None:
        await self._api.delete(self.object_path("pods", pod.name), grace_seconds=None if grace else 0)


def parse(document: Mapping[str, Any], container: str) -> list[Pod]:
    """The pods of a PodList that have not ended, by name. `container` is the name of their main container."""
    pods = [_pod(item, container) for item in document["items"] if item["status"].get("phase") not in _ENDED]
    return sorted(pods, key=lambda pod: pod.name)


_ENDED = ("Succeeded", "Failed")


def _pod(item: Mapping[str, Any], container: str) -> Pod:
    metadata, status = item["metadata"], item["status"]
    statuses = status.get("containerStatuses") or []
    main: Mapping[str, Any] = next((each for each in statuses if each["name"] == container), {})
    conditions = {each["type"]: each["status"] for each in status.get("conditions") or []}
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        node=item["spec"].get("nodeName") or "",
        ip=status.get("podIP") or "",
        container=(main.get("containerID") or "").rpartition("://")[2],
        running="running" in (main.get("state") or {}),
        ready=conditions.get("Ready") == "True",
        restarts=int(main.get("restartCount") or 0),
        deleting="deletionTimestamp" in metadata,
    )

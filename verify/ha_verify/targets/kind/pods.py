"""Pods of the deployment, as the API tells of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ha_verify.targets.target import Replica

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

"""Catalog sources of the verification's own, served by a pod of its own beside the replicas."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from ha_verify.targets.kind.api import Api
from ha_verify.targets.kind.deployment import until
from ha_verify.targets.sources import SOURCES, initial_catalog, source_ids
from ha_verify.targets.target import NotPossible

NAME = "ha-verify-sources"
PORT = 8000
READY_SECONDS = 90.0
WRITE_SECONDS = 10.0
_CODE = Path(__file__).with_name("sources_server.py")
_LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/part-of": "ha-verify"}


class KindSources:
    """A Deployment of one pod and its Service. It runs on the control plane: the faults of nodes hit the others."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def sources_file(self) -> str:
        """The text of a sources file that names them all."""
        entries = [
            {
                "name": f"Verification {source}",
                "id": source,
                "type": "http",
                "enabled": True,
                "properties": {"url": f"http://{NAME}:{PORT}/{source}.yaml"},
            }
            for source in self.ids()
        ]
        return yaml.safe_dump({"catalogs": entries}, sort_keys=False)

    def ids(self) -> list[str]:
        return source_ids(SOURCES)

    async def make(self, image: str) -> None:
        """Returns when each source has content; `image` is any that has Python."""
        for path, document in self._objects(image):
            await self._api.apply(path, document)
        await until(f"a pod of {NAME} that serves", READY_SECONDS, self._fill)

    async def _fill(self) -> str | None:
        """Only what is missing: content that a run has changed stays. Returns what is amiss."""
        url = f"{self._api.url}{self._path('services', f'{NAME}:{PORT}')}/proxy"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WRITE_SECONDS)) as client:
            for source in self.ids():
                try:
                    async with client.get(f"{url}/{source}.yaml") as response:
                        if response.status not in (200, 404):
                            return f"it answers {response.status}"
                        missing = response.status == 404
                except (aiohttp.ClientError, TimeoutError) as error:
                    return repr(error)
                if missing:
                    try:
                        await self.write(source, initial_catalog(source))
                    except NotPossible as error:  # the pod answers, but not every node sends to it yet
                        return str(error)
        return None

    async def write(self, source: str, content: str) -> None:
        """Raises `KeyError` for an unknown source, `NotPossible` where it was not taken."""
        if source not in self.ids():
            raise KeyError(f"source = {source!r}: not a source of this target. Use one of: {', '.join(self.ids())}")
        url = f"{self._api.url}{self._path('services', f'{NAME}:{PORT}')}/proxy/{source}.yaml"
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WRITE_SECONDS)) as client,
                client.put(url, data=content.encode()) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NotPossible(f"source {source} could not be written: {error!r}") from error
        if status != 204:
            raise NotPossible(f"source {source} could not be written: {NAME} answered {status}")

    async def remove(self) -> None:
        for kind in ("deployments", "services", "configmaps"):
            await self._api.delete(self._path(kind, NAME))

    def _path(self, kind: str, name: str) -> str:
        group = "/apis/apps/v1" if kind == "deployments" else "/api/v1"
        return f"{group}/namespaces/{self._namespace}/{kind}/{name}"

    def _objects(self, image: str) -> list[tuple[str, Mapping[str, Any]]]:
        metadata = {"name": NAME, "namespace": self._namespace, "labels": _LABELS}
        container = {
            "name": "sources",
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "/code/sources_server.py", str(PORT)],
            "ports": [{"containerPort": PORT}],
            "volumeMounts": [{"name": "code", "mountPath": "/code"}],
        }
        pod = {
            "containers": [container],
            "volumes": [{"name": "code", "configMap": {"name": NAME}}],
            "nodeSelector": {"node-role.kubernetes.io/control-plane": ""},
            "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
        }
        deployment = {
            "replicas": 1,
            "selector": {"matchLabels": _LABELS},
            "template": {"metadata": {"labels": _LABELS}, "spec": pod},
        }
        service = {"selector": _LABELS, "ports": [{"port": PORT}]}
        code = {"sources_server.py": _CODE.read_text(encoding="utf-8")}
        return [
            (
                self._path("configmaps", NAME),
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": code},
            ),
            (
                self._path("services", NAME),
                {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
            ),
            (
                self._path("deployments", NAME),
                {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
            ),
        ]

"""One object of the Kubernetes API, read whole and changed by compare-and-swap only."""

from collections.abc import Mapping
from typing import Any

from catalog_server.kubernetes.client import KubernetesClient, Resource
from catalog_server.kubernetes.refusal import KubernetesRefusal, ObjectChanged

Document = dict[str, Any]


class KubernetesObject:
    """Named in the client's namespace. Raises what the client raises."""

    def __init__(self, resource: Resource, name: str, client: KubernetesClient) -> None:
        self.name = name
        self._resource = resource
        self._client = client

    async def get(self) -> Document | None:
        """The object, or None where there is none."""
        try:
            return await self._client.request("GET", self._resource, self.name)
        except KubernetesRefusal as error:
            if error.status == 404:
                return None
            raise

    async def create(self, metadata: Mapping[str, Any] | None = None, **content: Any) -> Document:
        """Makes the object; raises `ObjectChanged` if there is one."""
        document = {
            "apiVersion": self._resource.api_version,
            "kind": self._resource.kind,
            "metadata": dict(metadata or {}) | {"name": self.name},
        } | content
        try:
            return await self._client.request("POST", self._resource, body=document)
        except KubernetesRefusal as error:
            if error.status == 409:
                raise ObjectChanged(f"{self} exists") from error
            raise

    async def replace(
        self, expected: Mapping[str, Any], metadata: Mapping[str, Any] | None = None, **content: Any
    ) -> Document:
        """Changes parts of `expected`, as it was read; raises `ObjectChanged` if the object is not that any more."""
        # Invariant: of all writers that read the same version, one changes the object. The resourceVersion makes
        # it so, and the uid where the object was deleted since: a PUT without it would make the object anew.
        version = {key: expected["metadata"][key] for key in ("uid", "resourceVersion")}
        document = dict(expected) | {"metadata": expected["metadata"] | dict(metadata or {}) | version} | content
        try:
            return await self._client.request("PUT", self._resource, self.name, document)
        except KubernetesRefusal as error:
            if error.status in (404, 409):
                raise ObjectChanged(f"{self} is not at version {version['resourceVersion']} any more") from error
            raise

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        await self._client.close()

    def __str__(self) -> str:
        return f"{self._resource.kind} {self.name}"

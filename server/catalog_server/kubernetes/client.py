"""A connection to the Kubernetes API: where it is, who we are, and what its refusals mean."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient, ApiException, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from catalog_server.kubernetes.refusal import KubernetesRefusal

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_SECONDS = 5.0


@dataclass(frozen=True)
class Resource:
    """A kind of object, as the API's paths and access rules name it."""

    group: str  # empty: the core group
    kind: str
    plural: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/v1" if self.group else "v1"

    @property
    def path(self) -> str:
        """Of all its objects in a namespace."""
        return f"/{'apis' if self.group else 'api'}/{self.api_version}/namespaces/{{namespace}}/{self.plural}"


class KubernetesClient:
    """Configured at the first call, and again after a call that failed to connect or to authenticate: by
    $KUBECONFIG, else by the pod's service account, else by ~/.kube/config.

    Every call raises `KubernetesRefusal` with the remedy, `TimeoutError` after `call_seconds`, or an
    `aiohttp.ClientError` where there is no connection.
    """

    def __init__(
        self,
        namespace: str | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        self._namespace = namespace  # None: the configuration's own
        self._call_seconds = call_seconds
        self._service_account = service_account
        self._connected: tuple[ApiClient, str] | None = None
        self._connecting = asyncio.Lock()

    async def request(
        self, method: str, resource: Resource, name: str | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """The answer to one request for an object, or for all of its kind where no name is given."""
        async with self._connecting:
            if self._connected is None:
                self._connected = await self._connect()
        api, namespace = self._connected
        try:
            document: dict[str, Any] = await api.call_api(
                resource.path + ("/{name}" if name else ""),
                method,
                path_params={"namespace": namespace, "name": name},
                header_params={"Accept": "application/json"},
                body=body,
                response_types_map={200: "object", 201: "object"},
                auth_settings=["BearerToken"],
                _return_http_data_only=True,
                _request_timeout=self._call_seconds,
            )
            return document
        except ApiException as error:
            if error.status == 401:
                await self.close()  # the token, or what it is read from, may have been renewed
            raise KubernetesRefusal(_explain(error, resource, namespace), error.status) from error
        except TimeoutError as error:
            raise TimeoutError(f"the Kubernetes API did not answer within {self._call_seconds:g} s") from error
        except aiohttp.ClientError:
            await self.close()  # the address, or its certificate authority, may have been changed
            raise

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        connected, self._connected = self._connected, None
        if connected is not None:
            await connected[0].close()

    async def _connect(self) -> tuple[ApiClient, str]:
        configuration = Configuration()
        try:
            namespace = await self._configure(configuration)
            client = ApiClient(configuration)
            client.user_agent = "catalog-server"  # as audit logs show it
            return client, namespace
        except Exception as error:  # the loaders raise whatever they stumble over
            raise KubernetesRefusal(
                f"no usable Kubernetes configuration: {str(error) or type(error).__name__}. Run in a pod with a "
                "service account, or name a kubeconfig in KUBECONFIG, or choose another leadership_backend"
            ) from error

    async def _configure(self, configuration: Configuration) -> str:
        """Returns the namespace to work in."""
        kubeconfig = os.environ.get("KUBECONFIG")
        if not kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
            # Reads the projected token again every minute.
            load_incluster_config(
                configuration,
                token_filename=str(self._service_account / "token"),
                cert_filename=str(self._service_account / "ca.crt"),
            )
            return self._namespace or (self._service_account / "namespace").read_text().strip()
        loader = await load_kube_config(
            kubeconfig or _home_kubeconfig(), client_configuration=configuration, persist_config=False
        )
        context = (loader.current_context or {}).get("context") or {}
        return self._namespace or context.get("namespace") or "default"


def _home_kubeconfig() -> str:
    path = Path("~/.kube/config").expanduser()
    if not path.exists():
        raise ConfigException("this is no pod, KUBECONFIG is not set, and there is no ~/.kube/config")
    return str(path)


def _explain(error: ApiException, resource: Resource, namespace: str) -> str:
    """The API's own words, and what to do about them."""
    message = f"the Kubernetes API answered {error.status} {error.reason}: {error.body}"
    if error.status == 401:
        return f"{message}. Renew the token of the service account or of the kubeconfig"
    if error.status == 403:
        group = f"API group {resource.group}" if resource.group else "core API group"
        return (
            f"{message}. Grant the verbs get, create and update on the resource {resource.plural} in the {group} "
            f"in namespace {namespace}"
        )
    return message

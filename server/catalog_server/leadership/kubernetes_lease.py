"""A lease in Kubernetes: an object of coordination.k8s.io/v1, swapped by its resourceVersion.

`kubectl get lease` shows the holder, and times as client-go writes them; nobody compares those times. The epoch
is an annotation. A lease without it (made by another tool) counts as epoch 0, and so does one whose annotation
is no number: the epoch that a winner takes is higher than the lease's and the database's, so it still grows.
"""

import asyncio
import logging
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes_asyncio.client import ApiClient, ApiException, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from catalog_server.leadership.lease import Conflict, LeaseRecord

log = logging.getLogger(__name__)

EPOCH_ANNOTATION = "catalog-server/epoch"
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CALL_SECONDS = 5.0

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
_LEASE = _LEASES + "/{name}"
_EPOCH = re.compile(r"[0-9]{1,18}")  # more digits would not fit into the database's epoch


class KubernetesRefusal(Exception):
    """The Kubernetes API, or its configuration, does not let this replica use the lease."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status  # of the HTTP answer; 0 where there was none


@dataclass(frozen=True)
class _Version:
    """What the swap compares, and the whole object, so that a write keeps what others put into it."""

    uid: str
    resource_version: str
    document: Mapping[str, Any] = field(compare=False, repr=False)


class KubernetesLease:
    """One Lease object. Configured at the first call, and again after a call that failed to connect or to
    authenticate: by $KUBECONFIG, else by the pod's service account, else by ~/.kube/config.

    Every call raises `KubernetesRefusal` with the remedy, `TimeoutError` after `call_seconds`, or an
    `aiohttp.ClientError` where there is no connection.
    """

    def __init__(
        self,
        name: str,
        namespace: str | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        self._name = name
        self._namespace = namespace  # None: the configuration's own
        self._call_seconds = call_seconds
        self._service_account = service_account
        self._connected: tuple[ApiClient, str] | None = None
        self._connecting = asyncio.Lock()

    async def get(self) -> LeaseRecord | None:
        try:
            return self._record(await self._request("GET", _LEASE))
        except KubernetesRefusal as error:
            if error.status == 404:
                return None
            raise

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        document = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "annotations": {EPOCH_ANNOTATION: str(record.epoch)}},
            "spec": _spec(record, {}),
        }
        try:
            return self._record(await self._request("POST", _LEASES, document))
        except KubernetesRefusal as error:
            if error.status == 409:
                raise Conflict(f"lease {self._name} exists") from error
            raise

    async def update(self, record: LeaseRecord, expected: LeaseRecord) -> LeaseRecord:
        version: _Version = expected.version
        held = version.document
        annotations = (held["metadata"].get("annotations") or {}) | {EPOCH_ANNOTATION: str(record.epoch)}
        # Invariant: of all writers that read the same version, one changes the lease. The resourceVersion makes
        # it so, and the uid where the lease was deleted since: a PUT without it would make the lease anew.
        metadata = held["metadata"] | {
            "uid": version.uid,
            "resourceVersion": version.resource_version,
            "annotations": annotations,
        }
        document = dict(held) | {"metadata": metadata, "spec": _spec(record, held.get("spec") or {})}
        try:
            return self._record(await self._request("PUT", _LEASE, document))
        except KubernetesRefusal as error:
            if error.status in (404, 409):
                raise Conflict(f"lease {self._name} is not at version {version.resource_version} any more") from error
            raise

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        connected, self._connected = self._connected, None
        if connected is not None:
            await connected[0].close()

    def _record(self, document: Mapping[str, Any]) -> LeaseRecord:
        metadata, spec = document["metadata"], document.get("spec") or {}
        return LeaseRecord(
            holder=spec.get("holderIdentity") or "",
            epoch=self._epoch(metadata.get("annotations") or {}),
            duration_seconds=float(spec.get("leaseDurationSeconds") or 0),
            version=_Version(metadata["uid"], metadata["resourceVersion"], document),
        )

    def _epoch(self, annotations: Mapping[str, str]) -> int:
        text = annotations.get(EPOCH_ANNOTATION, "0")
        if _EPOCH.fullmatch(text):
            return int(text)
        log.warning("the annotation %s of lease %s is no epoch: %r", EPOCH_ANNOTATION, self._name, text)
        return 0

    async def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        async with self._connecting:
            if self._connected is None:
                self._connected = await self._connect()
        api, namespace = self._connected
        try:
            document: dict[str, Any] = await api.call_api(
                path,
                method,
                path_params={"namespace": namespace, "name": self._name},
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
            raise KubernetesRefusal(_explain(error, namespace), error.status) from error
        except TimeoutError as error:
            raise TimeoutError(f"the Kubernetes API did not answer within {self._call_seconds:g} s") from error
        except aiohttp.ClientError:
            await self.close()  # the address, or its certificate authority, may have been changed
            raise

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
        """Returns the lease's namespace."""
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


def _spec(record: LeaseRecord, previous: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as client-go sets them. `renewTime` also makes a renewal a change: the API keeps the
    resourceVersion of an object that is written as it was, and others would take the holder for silent."""
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    changed = record.holder != (previous.get("holderIdentity") or "")
    transitions = previous.get("leaseTransitions") or 0
    return dict(previous) | {
        "holderIdentity": record.holder,
        "leaseDurationSeconds": max(1, math.ceil(record.duration_seconds)),
        "acquireTime": now if changed else previous.get("acquireTime") or now,
        "renewTime": now,
        "leaseTransitions": transitions + bool(changed and record.holder and previous),
    }


def _explain(error: ApiException, namespace: str) -> str:
    """The API's own words, and what to do about them."""
    message = f"the Kubernetes API answered {error.status} {error.reason}: {error.body}"
    if error.status == 401:
        return f"{message}. Renew the token of the service account or of the kubeconfig"
    if error.status == 403:
        return (
            f"{message}. Grant the verbs get, create and update on the resource leases in the API group "
            f"coordination.k8s.io in namespace {namespace}"
        )
    return message

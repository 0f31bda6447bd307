"""A lease in Kubernetes: an object of coordination.k8s.io/v1, swapped by its resourceVersion.

`kubectl get lease` shows the holder, and times as client-go writes them; nobody compares those times. The epoch
is an annotation. A lease without it (made by another tool) counts as epoch 0, and so does one whose annotation
is no number: the epoch that a winner takes is higher than the lease's and the database's, so it still grows.
"""

import logging
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from catalog_server.kubernetes.client import CALL_SECONDS, SERVICE_ACCOUNT, KubernetesClient, Resource
from catalog_server.kubernetes.object import KubernetesObject
from catalog_server.kubernetes.refusal import ObjectChanged
from catalog_server.leadership.lease import Conflict, LeaseRecord

log = logging.getLogger(__name__)

EPOCH_ANNOTATION = "catalog-server/epoch"
LEASES = Resource(group="coordination.k8s.io", kind="Lease", plural="leases")

_EPOCH = re.compile(r"[0-9]{1,18}")  # more digits would not fit into the database's epoch


@dataclass(frozen=True)
class _Version:
    """What the swap compares, and the whole object, so that a write keeps what others put into it."""

    uid: str
    resource_version: str
    document: Mapping[str, Any] = field(compare=False, repr=False)


class KubernetesLease:
    """One Lease object. Calls raise `Conflict`, or what `KubernetesClient` raises."""

    def __init__(
        self,
        name: str,
        namespace: str | None = None,
        *,
        call_seconds: float = CALL_SECONDS,
        service_account: Path = SERVICE_ACCOUNT,
    ) -> None:
        client = KubernetesClient(namespace, call_seconds=call_seconds, service_account=service_account)
        self._lease = KubernetesObject(LEASES, name, client)

    async def get(self) -> LeaseRecord | None:
        document = await self._lease.get()
        return None if document is None else self._record(document)

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        metadata = {"annotations": {EPOCH_ANNOTATION: str(record.epoch)}}
        try:
            return self._record(await self._lease.create(metadata, spec=_spec(record, {})))
        except ObjectChanged as error:
            raise Conflict(str(error)) from error

    async def update(self, record: LeaseRecord, expected: LeaseRecord) -> LeaseRecord:
        held = expected.version.document
        annotations = (held["metadata"].get("annotations") or {}) | {EPOCH_ANNOTATION: str(record.epoch)}
        spec = _spec(record, held.get("spec") or {})
        try:
            return self._record(await self._lease.replace(held, {"annotations": annotations}, spec=spec))
        except ObjectChanged as error:
            raise Conflict(str(error)) from error

    async def close(self) -> None:
        """Closes the connections; a later call opens new ones."""
        await self._lease.close()

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
        log.warning("the annotation %s of %s is no epoch: %r", EPOCH_ANNOTATION, self._lease, text)
        return 0


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

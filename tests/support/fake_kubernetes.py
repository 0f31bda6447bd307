"""An API server for Leases and ConfigMaps over real HTTP, which keeps the rules of the real one they depend on.

* Every write is a compare-and-swap on `resourceVersion`, which counts over all objects; one that changes nothing
  keeps it. A PUT without it is invalid (422) for a lease, and overwrites whatever there is for a ConfigMap.
* A PUT of an absent lease makes it, unless it names a uid: then it is a conflict. An absent ConfigMap is not found.
* What a ConfigMap holds is text.
* Refusals are `Status` objects with the real reasons.
"""

import asyncio
import copy
import json
import ssl
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml
from aiohttp import web

Document = dict[str, Any]
ALL = ("leases", "configmaps")
PATHS = (
    "/apis/coordination.k8s.io/v1/namespaces/{namespace}/{resource:leases}",
    "/api/v1/namespaces/{namespace}/{resource:configmaps}",
)
QUALIFIED = {"leases": "leases.coordination.k8s.io", "configmaps": "configmaps"}  # as refusals name them


@dataclass(frozen=True)
class Request:
    """What the API server was asked."""

    method: str
    path: str
    token: str | None
    body: Document | None


class FakeKubernetes:
    """Start it in an event loop with `start`, or in a thread of its own with `FakeKubernetesThread`."""

    def __init__(self, namespace: str = "models") -> None:
        self.namespace = namespace
        self.leases: dict[str, Document] = {}
        self.configmaps: dict[str, Document] = {}
        self.requests: list[Request] = []
        self.token: str | None = None  # with it, other bearer tokens get 401
        self.forbidden: set[str] = set()  # of ALL
        self.url = ""
        self.answers_to_lose = 0
        self._reads_together: asyncio.Barrier | None = None
        self._frozen: set[str] = set()
        self._thawed = asyncio.Event()
        self._thawed.set()
        self._resource_version = 100
        self._runner: web.AppRunner | None = None

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application(middlewares=[self._admit])
        for path in PATHS:
            app.router.add_post(path, self._create)
            app.router.add_get(path + "/{name}", self._get)
            app.router.add_put(path + "/{name}", self._replace)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self.thaw()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def open_connections(self) -> int:
        """Of clients, idle ones too."""
        assert self._runner is not None
        assert self._runner.server is not None
        return len(self._runner.server.connections)

    def freeze(self, *resources: str) -> None:
        """From now on it accepts requests (all, or for these resources) and answers none; those that arrive meanwhile
        are never applied."""
        self._frozen = set(resources or ALL)
        self._thawed.clear()

    def thaw(self) -> None:
        self._frozen = set()
        self._thawed.set()

    def lose_answers(self, count: int) -> None:
        """The next writes are applied, and the connection is cut instead of an answer."""
        self.answers_to_lose = count

    def answer_reads_together(self, count: int) -> None:
        """The next reads wait for each other, so that all their readers know the same version."""
        self._reads_together = asyncio.Barrier(count)

    def delete(self, name: str, resource: str = "leases") -> None:
        """As `kubectl delete` does."""
        del self._objects(resource)[name]

    def put(self, name: str, resource: str = "leases", **changes: Any) -> Document:
        """As another tool writes an object: `metadata`, and `spec` or `data`, are merged into what there is."""
        document = copy.deepcopy(self._objects(resource).get(name)) or {"metadata": {"name": name, "uid": str(uuid4())}}
        for part in {"metadata", "spec" if resource == "leases" else "data"} | changes.keys():
            document[part] = document.get(part, {}) | changes.get(part, {})
        return self._store(resource, name, document)

    def asked(self, resource: str, *methods: str) -> list[Request]:
        """The requests for objects of this kind, of these methods or all."""
        return [
            request
            for request in self.requests
            if request.path.split("/namespaces/")[1].split("/")[1] == resource
            and (not methods or request.method in methods)
        ]

    def kubeconfig(self, path: Path, token: str | None = "first") -> Path:
        """Writes a kubeconfig for this server and namespace."""
        user = {"token": token} if token else {}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
            "users": [{"name": "replica", "user": user}],
            "contexts": [
                {"name": "fake", "context": {"cluster": "fake", "user": "replica", "namespace": self.namespace}}
            ],
            "current-context": "fake",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    @web.middleware
    async def _admit(self, request: web.Request, handler: Any) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        self.requests.append(Request(request.method, request.path, token if kind == "Bearer" else None, body))
        resource, name = request.match_info.get("resource", ""), request.match_info.get("name", "")
        if resource in self._frozen:
            await self._thawed.wait()
            return _cut(request)
        if self.token is not None and token != self.token:
            return _status(401, "Unauthorized", "Unauthorized")
        if resource in self.forbidden:
            return _status(403, "Forbidden", f'{QUALIFIED[resource]} "{name}" is forbidden: User cannot do this')
        if request.match_info.get("namespace") != self.namespace and request.method == "POST":
            return _status(404, "NotFound", f'namespaces "{request.match_info["namespace"]}" not found')
        answer: web.StreamResponse = await handler(request)
        if self.answers_to_lose and request.method != "GET":
            self.answers_to_lose -= 1
            return _cut(request)
        return answer

    async def _get(self, request: web.Request) -> web.Response:
        resource, name = request.match_info["resource"], request.match_info["name"]
        found = self._objects(resource).get(name)
        answer = web.json_response(found) if found else _absent(resource, name)
        if self._reads_together is not None:
            await self._reads_together.wait()
            self._reads_together = None
        return answer

    # Invariant: the handlers compare and write without an await between, so writers take turns.

    async def _create(self, request: web.Request) -> web.Response:
        document = await request.json()
        resource, name = request.match_info["resource"], document["metadata"]["name"]
        if name in self._objects(resource):
            return _status(409, "AlreadyExists", f'{QUALIFIED[resource]} "{name}" already exists')
        if not _is_text(document):
            return _status(
                400, "BadRequest", "json: cannot unmarshal into Go struct field ConfigMap.data of type string"
            )
        document["metadata"]["uid"] = str(uuid4())
        return web.json_response(self._store(resource, name, document), status=201)

    async def _replace(self, request: web.Request) -> web.Response:
        document = await request.json()
        resource, name = request.match_info["resource"], request.match_info["name"]
        metadata, current = document["metadata"], self._objects(resource).get(name)
        if not _is_text(document):
            return _status(
                400, "BadRequest", "json: cannot unmarshal into Go struct field ConfigMap.data of type string"
            )
        if current is None and resource == "configmaps":
            return _absent(resource, name)
        if current is None and not metadata.get("uid"):
            metadata["uid"] = str(uuid4())
            return web.json_response(self._store(resource, name, document), status=201)
        if current is None or (metadata.get("uid") or current["metadata"]["uid"]) != current["metadata"]["uid"]:
            return _conflict(resource, name, "Precondition failed: UID in precondition differs from UID in object meta")
        metadata["uid"] = current["metadata"]["uid"]
        if not metadata.get("resourceVersion"):
            if resource == "leases":
                return _status(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
            metadata["resourceVersion"] = current["metadata"]["resourceVersion"]
        if metadata["resourceVersion"] != current["metadata"]["resourceVersion"]:
            why = "the object has been modified; please apply your changes to the latest version"
            return _conflict(resource, name, why)
        return web.json_response(self._store(resource, name, document))

    def _objects(self, resource: str) -> dict[str, Document]:
        return self.leases if resource == "leases" else self.configmaps

    def _store(self, resource: str, name: str, document: Document) -> Document:
        document["metadata"]["namespace"] = self.namespace
        if resource == "leases":
            document["spec"] = {key: value for key, value in document["spec"].items() if value is not None}
        if document != self._objects(resource).get(name):
            self._resource_version += 1
            document["metadata"]["resourceVersion"] = str(self._resource_version)
            self._objects(resource)[name] = document
        return copy.deepcopy(document)


class FakeKubernetesThread(FakeKubernetes):
    """The same in a thread of its own, for replicas that are processes."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-kubernetes", daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.start(), self._loop).result(30)

    def freeze(self, *resources: str) -> None:
        self._loop.call_soon_threadsafe(super().freeze, *resources)

    def thaw(self) -> None:
        self._loop.call_soon_threadsafe(super().thaw)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.stop(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


def _cut(request: web.Request) -> web.StreamResponse:
    """Ends the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def _is_text(document: Document) -> bool:
    return all(isinstance(value, str) for value in document.get("data", {}).values())


def _absent(resource: str, name: str) -> web.Response:
    return _status(404, "NotFound", f'{QUALIFIED[resource]} "{name}" not found')


def _conflict(resource: str, name: str, why: str) -> web.Response:
    return _status(409, "Conflict", f'Operation cannot be fulfilled on {QUALIFIED[resource]} "{name}": {why}')


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return web.Response(status=code, text=json.dumps(body), content_type="application/json")

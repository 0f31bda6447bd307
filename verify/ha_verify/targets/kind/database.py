"""PostgreSQL of the deployment on kind: a StatefulSet of one pod, for trials."""

import asyncio
import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping

import psycopg2.extensions

from ha_verify.targets.kind import pods
from ha_verify.targets.kind.api import Api
from ha_verify.targets.kind.containers import Containers
from ha_verify.targets.kind.deployment import until
from ha_verify.targets.kind.pods import Pod
from ha_verify.targets.postgresql import Action, PostgreSQL
from ha_verify.targets.target import NotPossible

NAME = "catalog-server-postgresql"
RELEASE_SECRET = "catalog-server"  # noqa: S105 - a name
CONTAINER = "postgresql"
STOP_SECONDS = 90.0
# The kubelet waits ever longer before it starts a container again.
START_AGAIN_SECONDS = 90.0


class Database(PostgreSQL, ABC):
    """What the target wants of it, whether it is one pod or several."""

    service: str  # of the primary

    @abstractmethod
    async def deployed(self) -> bool: ...

    @abstractmethod
    async def learn(self) -> None:
        """Reads how to reach it, once: later the API server may be away. Raises `NotPossible`."""

    @abstractmethod
    async def act(self, action: Action) -> None:
        """Of several members it is the primary that is meant, and with `start` and `resume` all of them."""

    @abstractmethod
    async def node(self) -> str:
        """Of the primary."""

    @abstractmethod
    async def start(self) -> None:
        """Nothing happens where it runs; returns when all of it answers."""

    def close(self) -> None:
        """What is kept open to reach it."""


class KindDatabase(Database):
    """Asked through its NodePort, on 127.0.0.1. What it holds is lost with its volume, not with its pod."""

    service = NAME

    def __init__(self, api: Api, containers: Containers, namespace: str, port: int) -> None:
        super().__init__()
        self._api = api
        self._containers = containers
        self._namespace = namespace
        self._path = f"/apis/apps/v1/namespaces/{namespace}/statefulsets/{NAME}"
        self._port = port
        self._application: dict[str, str] = {}
        self._superuser: dict[str, str] = {}

    async def deployed(self) -> bool:
        return await self._api.find(self._path) is not None

    async def learn(self) -> None:
        if self._application:
            return
        dsn = (await self._secret(RELEASE_SECRET))["database_dsn"]
        secret = await self._secret(NAME)
        self._superuser = {"user": "postgres", "password": secret["superuser_password"]}
        self._application = psycopg2.extensions.parse_dsn(dsn)

    def application_dsn(self) -> str:
        return str(psycopg2.extensions.make_dsn(**self._application | self._reached()))

    def superuser_dsn(self) -> str:
        return str(psycopg2.extensions.make_dsn(**self._application | self._superuser | self._reached()))

    def _reached(self) -> dict[str, str]:
        if not self._application:
            raise NotPossible("nothing is deployed, or its Secrets were not read: bring the target up first")
        return {"host": "127.0.0.1", "port": str(self._port)}

    async def act(self, action: Action) -> None:
        """`crash` kills all its processes at once, and returns when the API tells of those that the kubelet started in
        their place: before that, it would lead whoever acts next to the dead ones. `restart` has the pod replaced.

        `pause` stops all its processes. `stop` and `start` return when its pod is gone or answers.
        """
        if action == "crash":
            await self._crash(await self._pod())
        elif action == "restart":
            await self.resume()  # who is stopped by a signal can not stop in an orderly way
            await self._api.delete(f"/api/v1/namespaces/{self._namespace}/pods/{(await self._pod()).name}")
        elif action == "pause":
            await self._containers.signal(await self._pod(), "STOP")
        elif action == "resume":
            await self.resume()
        else:
            await self._scale(0 if action == "stop" else 1)

    async def _crash(self, killed: Pod) -> None:
        await self._containers.signal(killed, "KILL")

        async def look() -> str | None:
            pod = await self._pod()
            return None if pod.running and pod.container != killed.container else f"{pod.name} is not told to run"

        await until("PostgreSQL's next container", START_AGAIN_SECONDS, look)

    async def resume(self) -> None:
        pod = await self._pod()
        await self._containers.mend(pod.node, pod)

    async def node(self) -> str:
        return (await self._pod()).node

    async def start(self) -> None:
        await self.learn()
        await self._scale(1)

    async def _scale(self, count: int) -> None:
        if (await self._api.get(self._path))["spec"]["replicas"] != count:
            await self._api.merge(f"{self._path}/scale", {"spec": {"replicas": count}})
        if count:
            await asyncio.to_thread(self.wait_until_it_answers)
            return

        async def look() -> str | None:
            return "its pod is there" if await self._pods() else None

        await until("the end of PostgreSQL", STOP_SECONDS, look)

    async def _pod(self) -> Pod:
        found = [pod for pod in await self._pods() if pod.counts]
        if not found:
            raise NotPossible("PostgreSQL has no pod")
        return found[0]

    async def _pods(self) -> list[Pod]:
        selector = "app.kubernetes.io/instance=catalog-server,app.kubernetes.io/component=postgresql"
        path = f"/api/v1/namespaces/{self._namespace}/pods?labelSelector={selector}"
        return pods.parse(await self._api.get(path), CONTAINER)

    async def _secret(self, name: str) -> Mapping[str, str]:
        document = await self._api.get(f"/api/v1/namespaces/{self._namespace}/secrets/{name}")
        return {key: base64.b64decode(value).decode().strip() for key, value in document["data"].items()}

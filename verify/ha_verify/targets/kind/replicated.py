"""PostgreSQL of the deployment on kind where it has several members."""

import asyncio
from typing import Any

import psycopg2

from ha_verify.targets.kind.console import NotReached
from ha_verify.targets.kind.containers import Containers
from ha_verify.targets.kind.database import Database
from ha_verify.targets.kind.member_pods import NAME, MemberPods
from ha_verify.targets.kind.members import KindMembers
from ha_verify.targets.postgresql import SESSION_SECONDS, Action, Parameters
from ha_verify.targets.target import NotPossible

NO_WAY_IN = "from outside the cluster there is no address of the members: only the superuser is let in, by the socket"


class ReplicatedDatabase(Database):
    """Whichever member is the primary is asked, through its node."""

    service = NAME

    def __init__(self, members: KindMembers, pods: MemberPods, containers: Containers) -> None:
        super().__init__()
        self._members = members
        self._pods = pods
        self._containers = containers
        self._names: list[str] = []  # whoever was the primary last comes first
        self._database = ""

    async def deployed(self) -> bool:
        return await self._pods.deployed()

    async def learn(self) -> None:
        if not self._names:
            self._database = await self._pods.database()
            self._names = await self._members.names()

    def close(self) -> None:
        self._members.close()
        self._names = []

    def sql(self, query: str, parameters: Parameters = (), *, seconds: float = SESSION_SECONDS) -> list[dict[str, Any]]:
        why = psycopg2.OperationalError("nothing is deployed, or it was not looked at: bring the target up first")
        for name in self._names:
            try:
                rows = self._members.console(name).query(query, parameters, database=self._database, seconds=seconds)
            except NotReached as error:
                why = error
                continue
            self._names = [name, *(other for other in self._names if other != name)]
            return rows
        raise why

    def application_dsn(self) -> str:
        raise NotPossible(NO_WAY_IN)

    async def act(self, action: Action) -> None:
        """`crash` kills all processes of the primary, whose container the kubelet starts again at once, and returns
        when the API tells of the next one. `restart` has its pod replaced in order. `stop` keeps it away until `start`,
        and the others replace it."""
        if action in ("start", "resume"):
            await self._resume()
            await self.start()
            return
        primary = await self._pods.pod((await self._members.primary()).name)
        if action == "stop":
            await self._members.lose(primary.name)
        elif action == "pause":
            await self._containers.signal(primary, "STOP")
        elif action == "restart":
            await self._pods.delete_pod(primary, grace=True)
        else:
            await self._containers.end(primary)
            await self._pods.replaced(primary)
            await self._pods.running(primary.name)

    async def _resume(self) -> None:
        """Those that were stopped, or are kept away."""
        for pod in await self._pods.pods():
            if pod.running:
                await self._containers.mend(pod.node, pod)
        for name in await self._members.names():
            await self._members.start(name)

    async def node(self) -> str:
        return (await self._pods.pod((await self._members.primary()).name)).node

    async def start(self) -> None:
        await self._members.mend()
        await self.learn()
        await asyncio.to_thread(self.wait_until_it_answers)

"""The members of a database of several on kind: pods under Patroni, which needs nobody to replace a primary.

Each is asked through its own node, since Services lead to the primary alone, and a proxy keeps a connection to a frozen
one alive. A member's volume is bound to its node: where it runs is known, also while it does not.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import psycopg2

from ha_verify.targets.kind.console import AGENT, SCRIPT, Console
from ha_verify.targets.kind.containers import Containers
from ha_verify.targets.kind.cordons import Cordons
from ha_verify.targets.kind.deployment import until
from ha_verify.targets.kind.member_pods import CONTAINER, PORT, MemberPods
from ha_verify.targets.kind.nodes import Nodes
from ha_verify.targets.kind.services import Address, Services
from ha_verify.targets.members import Member
from ha_verify.targets.playbook import Playbook, PlaybookFailed
from ha_verify.targets.target import NotPossible

NO_CRASH = "the kubelet decides when the processes of a member run again, and whether it is lost before"
LOOK_SECONDS = 2.0
WRITE_SECONDS = 60.0  # a write that nobody confirms waits, and is not asked for again meanwhile
AUTOMATIC_SECONDS = 120.0  # well beyond whatever a program may take
FOLLOW_SECONDS = 180.0  # of a member that has to be rewound, or cloned


class KindMembers:
    """Implements `Members`."""

    def __init__(
        self,
        nodes: Nodes,
        containers: Containers,
        cordons: Cordons,
        services: Services,
        pods: MemberPods,
        playbook: Playbook,
    ) -> None:
        self._nodes = nodes
        self._containers = containers
        self._cordons = cordons
        self._services = services
        self._pods = pods
        self._playbook = playbook
        self._consoles: dict[str, Console] = {}
        self._node_of: dict[str, str] = {}

    async def learn(self) -> None:
        """Which members there are and where, once: later the API server may be away. Raises `NotPossible`."""
        if self._consoles:
            return
        names = await self._pods.names()
        node_of = {pod.name: pod.node for pod in await self._pods.pods() if pod.node}
        unknown = [name for name in names if name not in node_of]
        if unknown:
            raise NotPossible(f"{', '.join(unknown)} are on no node: bring the target up first")
        agent = AGENT.read_text(encoding="utf-8")
        for name in names:
            words = (SCRIPT, self._pods.namespace, name, CONTAINER, agent)
            self._consoles[name] = Console(name, self._nodes.command(node_of[name], *words))
        self._node_of = node_of

    def close(self) -> None:
        """Forgets what was learnt."""
        for console in self._consoles.values():
            console.close()
        self._consoles.clear()

    def console(self, member: str) -> Console:
        if member not in self._consoles:
            raise NotPossible(f"member {member!r}: there are {', '.join(self._consoles) or 'none'}")
        return self._consoles[member]

    async def names(self) -> list[str]:
        await self.learn()
        return list(self._consoles)

    async def look(self, member: str) -> Member:
        return await asyncio.to_thread(self.console(member).look, LOOK_SECONDS)

    async def write(self, member: str) -> int:
        return await asyncio.to_thread(self.console(member).write, WRITE_SECONDS)

    async def primary(self) -> Member:
        primary = await self._find_primary()
        if primary is None:
            raise NotPossible(f"no member of the database is a primary: {', '.join(self._consoles)}")
        return primary

    async def lose(self, member: str) -> str:
        """Stopped first, so that nothing of it goes on while it is seen to that it stays away: its pod is deleted, and
        the node is closed to the one that would take its place, which is bound to it by its volume."""
        pod = await self._pods.pod(member)
        await self._containers.signal(pod, "STOP")
        await self._cordons.close(pod.node)
        await self._pods.delete_pod(pod, grace=False)
        ended = await self._containers.end(pod)
        successor = await self._pods.replaced(pod)
        if successor.node:
            raise NotPossible(f"{member} was to stay away, and is on {successor.node} again")
        return f"{ended}, and {pod.node} takes no other"

    async def crash(self, member: str) -> str:
        raise NotPossible(NO_CRASH)

    async def pause(self, member: str) -> str:
        await self._containers.signal(await self._pods.pod(member), "STOP")
        try:
            looked = await self.look(member)
        except psycopg2.Error as error:
            return f"all its processes are stopped. Asked: {str(error).strip()}"
        raise NotPossible(f"{member} was paused, and yet says that it is a {looked.role}")

    async def resume(self, member: str) -> str:
        pod = await self._pods.pod(member)
        stopped = await self._containers.mend(pod.node, pod)
        return f"{member} goes on" if stopped else f"{member} was ended meanwhile"

    async def start(self, member: str) -> str:
        """Returns when it runs."""
        self.console(member)
        await self._cordons.reopen(self._node_of[member])
        await self._pods.running(member)
        return f"its pod runs on {self._node_of[member]}"

    async def isolate(self, member: str) -> str:
        peers = [(address, PORT) for address in await self._others(member)] + await self._services.api_server()
        seen = await self._containers.isolate(await self._pods.pod(member), peers)
        looked = await self.look(member)
        return f"connections to the others and to the API server are {seen}, and it answers as a {looked.role}"

    async def reconnect(self, member: str) -> str:
        api_server: list[Address] = await self._services.api_server()
        seen = await self._containers.reconnect(await self._pods.pod(member), api_server)
        return f"connections to the API server are {seen}"

    async def _others(self, member: str) -> list[str]:
        """Their addresses."""
        return [pod.ip for pod in await self._pods.pods() if pod.name != member and pod.ip]

    async def silence(self, member: str) -> str:
        others = await self._others(member)
        await self._containers.silence(await self._pods.pod(member), PORT, others)
        undelivered = await asyncio.to_thread(self.console(member).undelivered_bytes, LOOK_SECONDS)
        told = f"what it sends to {len(others)} members is lost, and {undelivered} bytes are with none of them"
        if not others or undelivered is None or undelivered <= 0:
            raise NotPossible(f"{member}: {told}")
        return told

    async def fail_over(self, lost: str) -> str:
        async def look() -> str | None:
            primary = await self._find_primary()
            return None if primary is not None and primary.name != lost else "there is none"

        await until(f"a successor of {lost}", AUTOMATIC_SECONDS, look)
        return f"{(await self.primary()).name} took over"

    async def rejoin(self, member: str) -> str:
        await self.start(member)
        await self._following([member])
        return f"{member} follows by itself"

    async def switch_over(self) -> Mapping[str, Any]:
        before = (await self.primary()).name
        try:
            await asyncio.to_thread(self._playbook.run, "switchover.yml")
        except PlaybookFailed as failed:
            raise NotPossible(str(failed)) from failed
        await self.fail_over(before)
        return {"primary": (await self.primary()).name, "writer_waited_seconds": None}

    async def mend(self) -> None:
        """With nobody stopped and every node open: returns when one takes writes, and the others follow it."""
        await self._pods.running(*await self._pods.names())
        await self.learn()

        async def look() -> str | None:
            return None if await self._find_primary() else "no member is one"

        await until("a primary", AUTOMATIC_SECONDS, look)
        primary = (await self.primary()).name
        await self._following([name for name in self._consoles if name != primary])

    async def _following(self, members: list[str]) -> None:
        async def look() -> str | None:
            seen = [await self._view(name) for name in members]
            away = [name for name, view in zip(members, seen, strict=True) if view is None or not view.follows]
            return f"{', '.join(away)} do not follow" if away else None

        await until(f"{', '.join(members)} as replicas", FOLLOW_SECONDS, look)

    async def _find_primary(self) -> Member | None:
        views = await asyncio.gather(*map(self._view, await self.names()))
        primaries = [view for view in views if view is not None and view.role == "primary"]
        return max(primaries, key=lambda view: view.timeline, default=None)

    async def _view(self, member: str) -> Member | None:
        try:
            return await self.look(member)
        except psycopg2.Error:
            return None

"""The members of the local deployment's database: programs of its supervisord, and the playbooks that change roles."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg2

from ha_verify.targets.database import LocalDatabase
from ha_verify.targets.deployed import Deployed
from ha_verify.targets.member_processes import END_SECONDS, MemberProcesses, wait_for
from ha_verify.targets.members import Member
from ha_verify.targets.playbook import Playbook, PlaybookFailed
from ha_verify.targets.processes import Processes
from ha_verify.targets.proxies import reached
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import NotPossible

LOOK_SECONDS = 2.0
WRITE_SECONDS = 60.0  # a write that nobody confirms waits, and is not asked for again meanwhile
START_SECONDS = 20.0
FOLLOW_SECONDS = 60.0
AUTOMATIC_SECONDS = 120.0  # well beyond whatever a program may take
STATUS_SECONDS = 10  # for the playbooks' own look at the service, which the run looks at for longer


class LocalMembers:
    """Implements `Members`. Patroni replaces a lost primary where it is deployed, else the playbooks of a person do."""

    def __init__(
        self,
        deployed: Deployed,
        supervisor: Supervisor,
        processes: Processes,
        database: LocalDatabase,
        playbook: Playbook,
    ) -> None:
        self._deployed = deployed
        self._supervisor = supervisor
        self._processes = MemberProcesses(deployed, supervisor, processes)
        self._database = database
        self._playbook = playbook

    @property
    def _automatic(self) -> bool:
        return self._deployed.fails_over_by_itself

    async def names(self) -> list[str]:
        return self._deployed.member_names()

    async def look(self, member: str) -> Member:
        return await asyncio.to_thread(self._database.server(member).look, LOOK_SECONDS)

    async def write(self, member: str) -> int:
        return await asyncio.to_thread(self._database.server(member).write, WRITE_SECONDS)

    async def primary(self) -> Member:
        return await asyncio.to_thread(self._primary)

    async def lose(self, member: str) -> str:
        return await asyncio.to_thread(self._lose, member)

    def _lose(self, member: str) -> str:
        """It is stopped first, so that nothing of it goes on while supervisord is told not to start it again."""
        self._processes.stop(member)
        self._supervisor.stop(member, wait=False)
        self._processes.kill(member)
        return self._expect(member, "refused")

    async def crash(self, member: str) -> str:
        return await asyncio.to_thread(self._crash, member)

    def _crash(self, member: str) -> str:
        """Stopped first, so that the program does not see PostgreSQL end, and do something about it."""
        self._processes.stop(member)
        killed = self._processes.crash(member)
        return f"{killed} processes were killed, and supervisord starts {member} again"

    async def pause(self, member: str) -> str:
        await asyncio.to_thread(self._processes.stop, member)
        return await asyncio.to_thread(self._expect, member, "frozen")

    async def resume(self, member: str) -> str:
        return await asyncio.to_thread(self._resume, member)

    def _resume(self, member: str) -> str:
        was_stopped = self._processes.is_stopped(member)
        self._processes.go_on(member)
        return f"{member} goes on" if was_stopped else f"{member} was ended meanwhile"

    async def start(self, member: str) -> str:
        return await asyncio.to_thread(self._start, member)

    def _start(self, member: str) -> str:
        self._supervisor.start(member, wait=False)

        def is_decided() -> bool:
            return self._supervisor.program(member).state != "STARTING"

        wait_for(is_decided, START_SECONDS, f"a start of {member}")
        return f"supervisord: {self._supervisor.program(member).state}"

    async def silence(self, member: str) -> str:
        return await asyncio.to_thread(self._silence, member)

    def _silence(self, member: str) -> str:
        senders = self._processes.stop_senders(member)
        undelivered = self._database.server(member).undelivered_bytes(LOOK_SECONDS)
        if not senders or undelivered is None or undelivered <= 0:
            raise NotPossible(f"{member}: {senders} walsenders were stopped, and {undelivered} bytes are not delivered")
        return f"{senders} walsenders were stopped, and {undelivered} bytes are not delivered"

    async def isolate(self, member: str) -> str:
        return await asyncio.to_thread(self._isolate, member)

    def _isolate(self, member: str) -> str:
        self._processes.isolate(member)
        return f"clients are answered, {self._silence(member)}"

    async def reconnect(self, member: str) -> str:
        return await self.resume(member)  # what keeps others from it here are processes that were stopped

    async def fail_over(self, lost: str) -> str:
        if self._automatic:
            return await asyncio.to_thread(self._await_successor, lost, AUTOMATIC_SECONDS)
        return await asyncio.to_thread(self._replace, lost)

    def _replace(self, lost: str) -> str:
        """The playbook also looks at the service, of which it may despair although the database works again."""
        try:
            # One that is isolated goes on for its clients: a person has to say that it is to be ended all the same.
            force = self._processes.is_isolated(lost)
            self._playbook.run("failover.yml", status_timeout_seconds=STATUS_SECONDS, force=force)
        except PlaybookFailed as failed:
            try:
                return f"{self._await_successor(lost, LOOK_SECONDS)}, although {failed}"
            except NotPossible:
                raise NotPossible(str(failed)) from failed
        return self._await_successor(lost, LOOK_SECONDS)

    def _await_successor(self, lost: str, seconds: float) -> str:
        def there_is_one() -> bool:
            primary = self._find_primary()
            return primary is not None and primary.name != lost

        wait_for(there_is_one, seconds, f"a successor of {lost}")
        return f"{self._primary().name} took over"

    async def rejoin(self, member: str) -> str:
        return await asyncio.to_thread(self._rejoin, member)

    def _rejoin(self, member: str) -> str:
        if self._follows(member):
            return f"{member} follows"
        if not self._fenced(member).exists():
            self._supervisor.start(member, wait=False)
            if self._follows_by_itself(member):
                return f"{member} follows by itself"
        try:
            said = self._playbook.run("reinit-replica.yml", member=member)
        except PlaybookFailed as failed:
            raise NotPossible(str(failed)) from failed
        wait_for(lambda: self._follows(member), FOLLOW_SECONDS, f"{member} as a replica")
        how = re.search(rf"{member} was (.+?), from", " ".join(said.split()))
        return f"{member} was {how[1]}" if how else f"{member} was made anew"

    def _follows_by_itself(self, member: str) -> bool:
        """Raises `NotPossible` where nobody would make it follow."""

        def is_decided() -> bool:
            view = self._view(member)
            return view is not None and (view.follows or (view.role == "primary" and not self._automatic))

        try:
            wait_for(is_decided, FOLLOW_SECONDS, f"{member} as a replica")
        except NotPossible:
            if self._automatic:
                raise
        return self._follows(member)

    async def switch_over(self) -> Mapping[str, Any]:
        return await asyncio.to_thread(self._switch_over)

    def _switch_over(self) -> Mapping[str, Any]:
        """The playbook also looks at the service, of which it may despair although the role was handed over."""
        before = self._primary().name
        try:
            said = self._playbook.run("switchover.yml", status_timeout_seconds=STATUS_SECONDS)
        except PlaybookFailed as failed:
            if self._primary().name == before:
                raise NotPossible(str(failed)) from failed
            said = str(failed)
        waited = re.search(r"Clients that write waited (\S+) s", " ".join(said.split()))
        return {"primary": self._primary().name, "writer_waited_seconds": float(waited[1]) if waited else None}

    def mend(self) -> None:
        """With all of them started: one takes writes in the end, and the others follow it.

        Of two that take writes the one on the newer timeline is what the cluster went on with: the other is fenced.
        """
        names = self._deployed.member_names()
        for name in names:
            self._processes.go_on(name)
        try:
            wait_for(lambda: self._find_primary() is not None, START_SECONDS, "a primary")
        except NotPossible:
            if self._automatic:
                raise
            self._playbook.run("failover.yml")
        primary = self._primary()
        for name in names:
            view = self._view(name)
            if not self._automatic and name != primary.name and view is not None and view.role == "primary":
                self._lose(name)
                self._deployed.member_data(name).rename(self._fenced(name))
        for name in names:
            if name != primary.name:
                self._rejoin(name)

    def _fenced(self, member: str) -> Path:
        """Where failover.yml puts the data of a primary that it replaced."""
        data = self._deployed.member_data(member)
        return data.with_name(f"{data.name}.fenced")

    def _primary(self) -> Member:
        primary = self._find_primary()
        if primary is None:
            raise NotPossible(f"no member of the database is a primary: {', '.join(self._deployed.member_names())}")
        return primary

    def _find_primary(self) -> Member | None:
        views = [self._view(name) for name in self._deployed.member_names()]
        primaries = [view for view in views if view is not None and view.role == "primary"]
        return max(primaries, key=lambda view: view.timeline, default=None)

    def _follows(self, member: str) -> bool:
        view = self._view(member)
        return view is not None and view.follows

    def _view(self, member: str) -> Member | None:
        if reached(self._address(member)) != "open":
            return None
        try:
            return self._database.server(member).look(LOOK_SECONDS)
        except psycopg2.Error:
            return None

    def _address(self, member: str) -> tuple[str, int]:
        return "127.0.0.1", self._deployed.member_port(member)

    def _expect(self, member: str, wanted: str) -> str:
        wait_for(lambda: reached(self._address(member)) == wanted, END_SECONDS, f"{member}: connections {wanted}")
        return f"connections are {wanted}"

"""The members of the local deployment's database: programs of its supervisord, and the playbooks that change roles."""

import asyncio
import contextlib
import re
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from ha_verify.targets.database import LocalDatabase
from ha_verify.targets.deployed import Deployed
from ha_verify.targets.members import Member
from ha_verify.targets.playbook import Playbook, PlaybookFailed
from ha_verify.targets.processes import Processes
from ha_verify.targets.proxies import reached
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import NotPossible

NO_NETWORK = "all members of the database listen on loopback: nothing lies between them and their clients"
LOOK_SECONDS = 2.0
WRITE_SECONDS = 60.0  # a write that nobody confirms waits, and is not asked for again meanwhile
END_SECONDS = 10.0
START_SECONDS = 20.0
FOLLOW_SECONDS = 60.0
AUTOMATIC_SECONDS = 120.0  # well beyond whatever a program may take
POLL_SECONDS = 0.05


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
        self._processes = processes
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
        self._stop(member)
        self._supervisor.stop(member, wait=False)
        self._kill(member)
        return self._expect(member, "refused")

    def _kill(self, member: str) -> None:
        def none_is_left() -> bool:
            found = self._processes_of(member)
            _send(found, signal.SIGKILL)
            return not psutil.wait_procs(found, timeout=POLL_SECONDS)[1]

        with contextlib.suppress(NotPossible):  # it does not run
            self._processes.signal(member, "KILL")
        _wait_for(none_is_left, END_SECONDS, f"the end of {member}'s processes")
        _wait_for(lambda: not self._supervisor.program(member).running, END_SECONDS, f"the end of {member}")

    async def pause(self, member: str) -> str:
        await asyncio.to_thread(self._stop, member)
        return await asyncio.to_thread(self._expect, member, "frozen")

    async def resume(self, member: str) -> str:
        return await asyncio.to_thread(self._resume, member)

    def _resume(self, member: str) -> str:
        if not self._processes.is_stopped(member):
            return f"{member} was ended meanwhile"
        self._go_on(member)
        return f"{member} goes on"

    def _stop(self, member: str) -> None:
        """The program first: it may run PostgreSQL as no child of its own, and start it again."""
        self._processes.signal(member, "STOP")
        _send(self._processes_of(member), signal.SIGSTOP)

    def _go_on(self, member: str) -> None:
        _send(self._processes_of(member), signal.SIGCONT)
        if self._processes.is_stopped(member):
            self._processes.signal(member, "CONT")

    async def start(self, member: str) -> str:
        return await asyncio.to_thread(self._start, member)

    def _start(self, member: str) -> str:
        self._supervisor.start(member, wait=False)
        _wait_for(lambda: self._supervisor.program(member).state != "STARTING", START_SECONDS, f"a start of {member}")
        return f"supervisord: {self._supervisor.program(member).state}"

    async def silence(self, member: str) -> str:
        return await asyncio.to_thread(self._silence, member)

    def _silence(self, member: str) -> str:
        senders = [each for each in self._processes_of(member) if any("walsender" in word for word in _words(each))]
        _send(senders, signal.SIGSTOP)
        undelivered = self._database.server(member).undelivered_bytes(LOOK_SECONDS)
        if not senders or undelivered is None or undelivered <= 0:
            raise NotPossible(f"{member}: {len(senders)} walsenders were stopped, and {undelivered} bytes are not sent")
        return f"{len(senders)} walsenders were stopped, and {undelivered} bytes are not sent"

    async def isolate(self, member: str) -> str:
        raise NotPossible(NO_NETWORK)

    async def reconnect(self, member: str) -> str:
        raise NotPossible(NO_NETWORK)

    async def fail_over(self, lost: str) -> str:
        if self._automatic:
            return await asyncio.to_thread(self._await_successor, lost, AUTOMATIC_SECONDS)
        return await asyncio.to_thread(self._replace, lost)

    def _replace(self, lost: str) -> str:
        """The playbook also looks at the service, of which it may despair although the database works again."""
        try:
            self._playbook.run("failover.yml")
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

        _wait_for(there_is_one, seconds, f"a successor of {lost}")
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
        _wait_for(lambda: self._follows(member), FOLLOW_SECONDS, f"{member} as a replica")
        how = re.search(rf"{member} was (.+?), from", " ".join(said.split()))
        return f"{member} was {how[1]}" if how else f"{member} was made anew"

    def _follows_by_itself(self, member: str) -> bool:
        """Raises `NotPossible` where nobody would make it follow."""

        def is_decided() -> bool:
            view = self._view(member)
            return view is not None and (view.follows or (view.role == "primary" and not self._automatic))

        try:
            _wait_for(is_decided, FOLLOW_SECONDS, f"{member} as a replica")
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
            said = self._playbook.run("switchover.yml")
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
            self._go_on(name)
        try:
            _wait_for(lambda: self._find_primary() is not None, START_SECONDS, "a primary")
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

    def _processes_of(self, member: str) -> list[psutil.Process]:
        """PostgreSQL's processes work in the data folder, also those whose parent is gone."""
        data = str(self._deployed.member_data(member))
        return [
            process
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["name"] == "postgres" and process.info["cwd"] == data
        ]

    def _address(self, member: str) -> tuple[str, int]:
        return "127.0.0.1", self._deployed.member_port(member)

    def _expect(self, member: str, wanted: str) -> str:
        _wait_for(lambda: reached(self._address(member)) == wanted, END_SECONDS, f"{member}: connections {wanted}")
        return f"connections are {wanted}"


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """To those that are still there: a server's processes come and go."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _words(process: psutil.Process) -> list[str]:
    """What it calls itself."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def _wait_for(look: Callable[[], bool], seconds: float, what: str) -> None:
    """Raises `NotPossible` where it is not so in time."""
    give_up_at = time.monotonic() + seconds
    while not look():
        if time.monotonic() > give_up_at:
            raise NotPossible(f"{what}: not seen within {seconds:g} s")
        time.sleep(POLL_SECONDS)

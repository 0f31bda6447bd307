"""The processes of a database's members on this machine: those of PostgreSQL, and the program that runs it."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterable

import psutil

from ha_verify.targets.deployed import Deployed
from ha_verify.targets.processes import Processes
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import NotPossible

END_SECONDS = 10.0
POLL_SECONDS = 0.05
SERVER = "postgres"


class MemberProcesses:
    """Signals to all processes of a member, or to some of them. Raises `NotPossible`."""

    def __init__(self, deployed: Deployed, supervisor: Supervisor, processes: Processes) -> None:
        self._deployed = deployed
        self._supervisor = supervisor
        self._programs = processes
        self._isolations: dict[str, _Isolation] = {}  # by member

    def stop(self, member: str) -> None:
        """The program first: it may run PostgreSQL as no child of its own, and start it again."""
        self._programs.signal(member, "STOP")
        _send(self._of(member), signal.SIGSTOP)

    def go_on(self, member: str) -> None:
        """Whatever was stopped of it."""
        if (isolation := self._isolations.pop(member, None)) is not None:
            isolation.end()
        _send(self._of(member), signal.SIGCONT)
        if self._programs.is_stopped(member):
            self._programs.signal(member, "CONT")

    def is_stopped(self, member: str) -> bool:
        """Whether its program is, or a process of PostgreSQL."""
        return self._programs.is_stopped(member) or any(_is_stopped(each) for each in self._of(member))

    def kill(self, member: str) -> None:
        """Returns when none is left, and supervisord knows."""

        def none_is_left() -> bool:
            found = self._of(member)
            _send(found, signal.SIGKILL)
            return not psutil.wait_procs(found, timeout=POLL_SECONDS)[1]

        with contextlib.suppress(NotPossible):  # it does not run
            self._programs.signal(member, "KILL")
        wait_for(none_is_left, END_SECONDS, f"the end of {member}'s processes")
        wait_for(lambda: not self._supervisor.program(member).running, END_SECONDS, f"the end of {member}")

    def crash(self, member: str) -> int:
        """Returns when those are gone that there were; how many these were, beside the program."""
        found = self._of(member)
        self._programs.signal(member, "KILL")
        _send(found, signal.SIGKILL)
        wait_for(lambda: not psutil.wait_procs(found, timeout=POLL_SECONDS)[1], END_SECONDS, f"the end of {member}")
        return len(found)

    def stop_senders(self, member: str) -> int:
        """Those that send to its replicas; returns how many there were."""
        senders = [each for each in self._of(member) if any("walsender" in word for word in _words(each))]
        _send(senders, signal.SIGSTOP)
        return len(senders)

    def isolate(self, member: str) -> None:
        """What sends to replicas stops, and the program where it is not PostgreSQL itself: it decides nothing more."""
        pid = self._supervisor.program(member).pid
        _send([each for each in map(psutil.Process, [pid] if pid else []) if each.name() != SERVER], signal.SIGSTOP)
        self._isolations[member] = _Isolation(lambda: self.stop_senders(member))

    def is_isolated(self, member: str) -> bool:
        return member in self._isolations

    def _of(self, member: str) -> list[psutil.Process]:
        """PostgreSQL's processes work in the data folder, also those whose parent is gone."""
        data = str(self._deployed.member_data(member))
        return [
            process
            for process in psutil.process_iter(["name", "cwd"])
            if process.info["name"] == SERVER and process.info["cwd"] == data
        ]


class _Isolation:
    """Again and again until its end: replicas that get nothing connect anew after their `wal_receiver_timeout`."""

    def __init__(self, stop_senders: Callable[[], object]) -> None:
        self._stop_senders = stop_senders
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._ended.wait(POLL_SECONDS):
            self._stop_senders()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


def wait_for(look: Callable[[], bool], seconds: float, what: str) -> None:
    """Raises `NotPossible` where it is not so in time."""
    give_up_at = time.monotonic() + seconds
    while not look():
        if time.monotonic() > give_up_at:
            raise NotPossible(f"{what}: not seen within {seconds:g} s")
        time.sleep(POLL_SECONDS)


def _send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """To those that are still there: a server's processes come and go."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _is_stopped(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _words(process: psutil.Process) -> list[str]:
    """What it calls itself."""
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []

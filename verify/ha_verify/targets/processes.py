"""Signals to processes of the deployment: to programs that its supervisord lists, and to what they started."""

import contextlib
import signal
import time
from collections.abc import Iterable

import psutil

from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import NotPossible, Signal

POLL_SECONDS = 0.05
STOP_SECONDS = 5.0
SIGNALS = {
    "KILL": signal.SIGKILL,
    "TERM": signal.SIGTERM,
    "STOP": signal.SIGSTOP,
    "CONT": signal.SIGCONT,
}


class Processes:
    """Never acts on a process that supervisord of this deployment does not list as its own."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def signal(self, program: str, signal_: Signal) -> int:
        """To the program's process, and but for TERM to its children, so that none of them goes on alone.

        Returns the process id. Raises `NotPossible` where the program does not run, or does
        not stop.
        """
        process = self._main(program)
        family = [process] if signal_ == "TERM" else [process, *_children(process)]
        for member in family:
            _send(member, SIGNALS[signal_])
        if signal_ == "STOP":
            for child in _children(process):  # whom the parent started before it stopped
                _send(child, signal.SIGSTOP)
            self._wait_until_stopped(program)
        return int(process.pid)

    def instance(self, program: str) -> str:
        """Changes with every start; empty where it does not run."""
        pid = self._supervisor.program(program).pid
        try:
            return f"{pid}@{psutil.Process(pid).create_time():.2f}" if pid else ""
        except psutil.NoSuchProcess:
            return ""

    def wait_for_another(self, program: str, before: str, *, seconds: float) -> str:
        """The instance that runs in the place of `before`. Raises `NotPossible` if there is none after `seconds`."""
        give_up_at = time.monotonic() + seconds
        while (now := self.instance(program)) in ("", before):
            if time.monotonic() > give_up_at:
                raise NotPossible(f"{program} was not started again within {seconds:g} s")
            time.sleep(POLL_SECONDS)
        return now

    def is_stopped(self, program: str) -> bool:
        """Whether its process is in the state T: stopped by a signal."""
        return bool(self.state(program) == psutil.STATUS_STOPPED)

    def state(self, program: str) -> str:
        try:
            return str(self._main(program).status())
        except (NotPossible, psutil.NoSuchProcess):
            return "gone"

    def _wait_until_stopped(self, program: str) -> None:
        give_up_at = time.monotonic() + STOP_SECONDS
        while not self.is_stopped(program):
            if time.monotonic() > give_up_at:
                raise NotPossible(f"{program} was sent SIGSTOP, and yet is {self.state(program)}")
            time.sleep(POLL_SECONDS)

    def resume_all(self) -> list[str]:
        """Lets every stopped process of the deployment go on; returns their programs."""
        resumed = []
        for name, program in self._supervisor.programs().items():
            if not program.pid:
                continue
            try:
                main = psutil.Process(program.pid)
                stopped = [each for each in [main, *_children(main)] if each.status() == psutil.STATUS_STOPPED]
            except psutil.NoSuchProcess:
                continue
            for process in stopped:
                _send(process, signal.SIGCONT)
            if stopped:
                resumed.append(name)
        return resumed

    def _main(self, program: str) -> psutil.Process:
        pid = self._supervisor.program(program).pid
        if not pid:
            raise NotPossible(f"{program} does not run")
        try:
            return psutil.Process(pid)
        except psutil.NoSuchProcess:
            raise NotPossible(f"{program} has just ended") from None


def _children(process: psutil.Process) -> Iterable[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _send(process: psutil.Process, number: signal.Signals) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)

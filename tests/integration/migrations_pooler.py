"""A pooler that lends server sessions to clients, for a transaction or for as long as the client stays.

It speaks as much of the PostgreSQL protocol as that needs: start-up without a password, and simple queries.
"""

import socket
import struct
import threading
from collections import deque

_SSL_REQUEST = 80877103
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
    """Listens on `port` of 127.0.0.1 until `stop`.

    `pooling` is "transaction" or "session"; `take` says which idle server session is lent next: the one that
    was used "last" or the one that was used "first". With `strict` it refuses settings at start-up, as
    PgBouncer does where it is not told to ignore them.
    """

    def __init__(
        self, server_port: int, *, pooling: str = "transaction", take: str = "last", strict: bool = False
    ) -> None:
        self._server_port = server_port
        self._pooling = pooling
        self._take = take
        self._strict = strict
        self._idle: deque[socket.socket] = deque()
        self._guard = threading.Lock()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
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
            server, greeting = self._connect(startup)
            client.sendall(greeting)
            self._give_back(server)
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

    def _connect(self, startup: bytes) -> tuple[socket.socket, bytes]:
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._open.append(server)
        server.sendall(startup)
        greeting = b""
        while not greeting.endswith(b"Z\x00\x00\x00\x05I"):
            greeting += _read_message(server)[1]
        return server, greeting

    def _lend(self) -> socket.socket:
        with self._guard:
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

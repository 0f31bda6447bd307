"""A replica that says it is ready, takes a request, and hangs up instead of answering."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class DyingReplica:
    """`requests` holds (method, headers by lower-case name) of everything it was asked but health checks."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.requests: list[tuple[str, dict[str, str]]] = []

    def asked(self, method: str) -> int:
        return sum(seen == method for seen, _ in self.requests)

    @contextmanager
    def running(self) -> Iterator["DyingReplica"]:
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/readyz":
                    self.send_response(200)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                else:
                    self.hang_up()

            def do_POST(self) -> None:
                self.hang_up()

            def hang_up(self) -> None:
                requests.append((self.command, {name.lower(): value for name, value in self.headers.items()}))
                self.close_connection = True

            def log_message(self, *arguments: object) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        with Listener(("127.0.0.1", self._port), Handler) as listener:
            Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            try:
                yield self
            finally:
                listener.shutdown()

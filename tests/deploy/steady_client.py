"""A client that asks at a steady rate, repeats nothing, and remembers every failure."""

import http.client
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

REQUEST_SECONDS = 15


class SteadyClient:
    """`connections` threads, each with one keep-alive connection, together `per_second` requests."""

    def __init__(
        self,
        port: int,
        *,
        path: str,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        expected: int = 200,
        per_second: float = 50,
        connections: int = 4,
    ) -> None:
        self._port, self._path, self._method, self._headers = port, path, method, headers or {}
        self._expected = expected
        self._pause_seconds = connections / per_second
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(connections)]
        self.succeeded = 0
        self.failures: list[str] = []

    @contextmanager
    def running(self) -> Iterator["SteadyClient"]:
        for thread in self._threads:
            thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            for thread in self._threads:
                thread.join(2 * REQUEST_SECONDS)

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_SECONDS)
        due = time.monotonic()
        while not self._stopped.is_set():
            try:
                connection.request(self._method, self._path, headers=dict(self._headers))
                response = connection.getresponse()
                body = response.read()
                if response.status == self._expected:
                    self.succeeded += 1
                else:
                    self.failures.append(f"{time.strftime('%X')} {response.status} {body[:200]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{time.strftime('%X')} {error!r}")
                connection.close()
            due += self._pause_seconds
            self._stopped.wait(max(0.0, due - time.monotonic()))
        connection.close()

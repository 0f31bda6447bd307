"""A client that writes one probe after the other through the catalog, and knows which were acknowledged."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

PATH = "/api/v1/probes"
REQUEST_SECONDS = 30


class SteadyWriter:
    """Each value is sent once. One without an answer, or with another than 2xx, may or may not be there."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._run = uuid4().hex[:12]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self.acknowledged: list[str] = []
        self.longest_seconds = 0.0

    @contextmanager
    def running(self) -> Iterator["SteadyWriter"]:
        self._thread.start()
        try:
            yield self
        finally:
            self._stopped.set()
            self._thread.join(2 * REQUEST_SECONDS)

    def lost(self) -> list[str]:
        """The acknowledged values that the catalog does not have."""
        return [value for value in self.acknowledged if self._ask("GET", f"{PATH}/{value}") == 404]

    def _write(self) -> None:
        number, last = 0, time.monotonic()
        while not self._stopped.wait(0.02):
            number += 1
            value = f"{self._run}-{number}"
            try:
                status = self._ask("POST", PATH, json.dumps({"value": value}))
            except (OSError, http.client.HTTPException):
                continue
            if 200 <= status < 300:
                now = time.monotonic()
                self.longest_seconds, last = max(self.longest_seconds, now - last), now
                self.acknowledged.append(value)

    def _ask(self, method: str, path: str, body: str | None = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=REQUEST_SECONDS)
        try:
            connection.request(method, path, body, self._headers)
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

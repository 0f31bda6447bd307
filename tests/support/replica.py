"""A replica as a user runs it: the command `catalog-server serve` in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support.postgres import free_port, wait_until

# A quick election, so that tests wait for seconds rather than minutes; the ratios are those of the defaults.
QUICK = {
    "CATALOG_LEADERSHIP_LEASE_SECONDS": "3",
    "CATALOG_LEADERSHIP_RENEW_DEADLINE_SECONDS": "2",
    "CATALOG_LEADERSHIP_RETRY_SECONDS": "0.4",
    "CATALOG_JOBS_CLAIM_LEASE_SECONDS": "3",
    "CATALOG_JOBS_HEARTBEAT_SECONDS": "0.7",
    "CATALOG_DATABASE_DEADLINE_SECONDS": "1.5",
    "CATALOG_DATABASE_CONNECT_TIMEOUT_SECONDS": "1",
    "CATALOG_REPLICA_TIMEOUT_SECONDS": "2",
    "CATALOG_DRAIN_SECONDS": "0.2",
    "CATALOG_SHUTDOWN_GRACE_SECONDS": "5",
}


class ReplicaProcess:
    """One process, its log, and HTTP requests to it."""

    program: Sequence[str] = (sys.executable, "-m", "catalog_server")

    def __init__(self, name: str, dsn: str, folder: Path, **settings: str) -> None:
        self.name = name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log_path = folder / f"{name}.log"
        clean = {key: value for key, value in os.environ.items() if not key.startswith("CATALOG_")}
        self._environment = (
            clean
            | QUICK
            | {
                "CATALOG_REPLICA_NAME": name,
                "CATALOG_HTTP_PORT": str(self.port),
                "CATALOG_DATABASE_DSN": dsn,
            }
        )
        self._environment |= {f"CATALOG_{key.upper()}": value for key, value in settings.items()}
        self.start()

    def start(self) -> None:
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.program, "serve"],
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> int:
        """Orderly; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=30)

    def command(self, *words: str) -> Any:
        """What `catalog-server WORDS` prints as JSON, run with this replica's settings."""
        done = subprocess.run([*self.program, *words], env=self._environment, capture_output=True, timeout=60)
        return json.loads(done.stdout)

    def get(self, path: str, *, seconds: float = 5.0) -> tuple[int, Any]:
        """Status and JSON body; (0, reason) where there is no answer."""
        return self.request("GET", path, seconds=seconds)

    def request(self, method: str, path: str, *, token: str | None = None, seconds: float = 5.0) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        request = urllib.request.Request(self.url + path, method=method, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as response:
                return response.status, json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read() or b"null")
        except OSError as error:
            return 0, str(error)

    def is_ready(self) -> bool:
        return self.get("/readyz")[0] == 200

    def wait_until_ready(self) -> None:
        wait_until(self.is_ready, what=f"{self.name} ready ({self.get('/readyz')})")

    def logged(self) -> list[dict[str, Any]]:
        """Every line of its log; a line that is not JSON fails the test, as it would a log collector."""
        return [json.loads(line) for line in self.log_path.read_text().splitlines()]

    def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric over its labels, or over those series that have `label`, as `name="value"`."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        series = [line for line in lines if line.split("{")[0].split(" ")[0] == name and label in line]
        return sum(float(line.rsplit(" ", 1)[1]) for line in series)

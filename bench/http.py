"""GET /models through the whole server, against a bare handler with the same SQL call, in turns."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

from bench.processes import ROOT, migrated
from support.postgres import PostgresServer, free_port, wait_until
from support.replica import ReplicaProcess

PATH = "/api/model_catalog/v1alpha1/models"
CONCURRENCY = 8
SOURCES = ROOT / "samples" / "catalog" / "sources.yaml"


def compare(server: PostgresServer, *, requests: int, rounds: int) -> dict[str, Any]:
    """Medians over rounds that alternate between the two servers; ratios are bare : API, round by round."""
    with migrated(server) as dsn, tempfile.TemporaryDirectory() as folder:
        replica = ReplicaProcess("bench", dsn, Path(folder), sources_file=str(SOURCES))
        bare_port = free_port()
        bare_url = f"http://127.0.0.1:{bare_port}{PATH}"
        bare = subprocess.Popen(
            [sys.executable, "-m", "bench.bare_server"],
            cwd=ROOT,
            env=os.environ | {"BENCH_DSN": dsn, "BENCH_PORT": str(bare_port)},
        )
        try:
            wait_until(lambda: replica.get(PATH)[0] == 200 and replica.get(PATH)[1]["size"] == 10, what="the catalog")
            wait_until(lambda: _answers(bare_url), what="the bare handler")
            api_runs, bare_runs = [], []
            for _ in range(rounds + 1):  # the first round warms up
                api_runs.append(load(replica.url + PATH, requests))
                bare_runs.append(load(bare_url, requests))
        finally:
            bare.kill()
            bare.wait()
            replica.kill()
    return {
        "requests": requests,
        "concurrency": CONCURRENCY,
        "rounds": rounds,
        "api": median(api_runs[1:]),
        "bare": median(bare_runs[1:]),
        "throughput_ratio": statistics.median(
            bare["requests_per_second"] / api["requests_per_second"]
            for api, bare in zip(api_runs[1:], bare_runs[1:], strict=True)
        ),
        "p99_ratio": statistics.median(
            api["p99_ms"] / bare["p99_ms"] for api, bare in zip(api_runs[1:], bare_runs[1:], strict=True)
        ),
    }


def load(url: str, requests: int) -> dict[str, float]:
    result = subprocess.run(
        [sys.executable, "-m", "bench.load", url, str(requests), str(CONCURRENCY)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def _answers(url: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
        return bool(response.status == 200)
    return False

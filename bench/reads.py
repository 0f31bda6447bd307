"""GET /models from a standby and from the primary, in turns, and how soon a commit is visible on the standby."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.http import CONCURRENCY, PATH, SOURCES, load, median
from bench.jobs import percentiles
from bench.processes import migrated, pool
from support.postgres import PostgresServer, StandbyServer, wait_until
from support.replica import ReplicaProcess

STALENESS_SECONDS = 5


def compare(server: PostgresServer, *, requests: int, rounds: int, commits: int) -> dict[str, Any]:
    """Medians over rounds that alternate between two servers on one database; the ratio is round by round."""
    with migrated(server) as dsn, tempfile.TemporaryDirectory() as folder:
        standby = StandbyServer(server)
        standby_dsn = standby.dsn(dsn.rsplit("/", 1)[1])
        plain = ReplicaProcess("plain", dsn, Path(folder), sources_file=str(SOURCES))
        reader = ReplicaProcess(
            "reader",
            dsn,
            Path(folder),
            sources_file=str(SOURCES),
            read_dsn=standby_dsn,
            read_staleness_seconds=str(STALENESS_SECONDS),
        )
        try:
            for replica in (plain, reader):
                wait_until(lambda replica=replica: _serves(replica), what="the catalog")
            wait_until(lambda: reader.metric("catalog_standby_lag_seconds") < STALENESS_SECONDS, what="a standby")
            fallbacks = reader.metric("catalog_read_fallbacks_total")
            primary_runs, standby_runs = [], []
            for _ in range(rounds + 1):  # the first round warms up
                primary_runs.append(load(plain.url + PATH, requests))
                standby_runs.append(load(reader.url + PATH, requests))
            fallbacks = reader.metric("catalog_read_fallbacks_total") - fallbacks
            visible = _visible(dsn, standby_dsn, commits=commits)
        finally:
            plain.kill()
            reader.kill()
            standby.stop()
    return {
        "requests": requests,
        "concurrency": CONCURRENCY,
        "rounds": rounds,
        "primary": median(primary_runs[1:]),
        "standby": median(standby_runs[1:]),
        "fallbacks": fallbacks,
        "throughput_ratio": statistics.median(
            standby["requests_per_second"] / primary["requests_per_second"]
            for standby, primary in zip(standby_runs[1:], primary_runs[1:], strict=True)
        ),
        "p99_ratio": statistics.median(
            standby["p99_ms"] / primary["p99_ms"]
            for standby, primary in zip(standby_runs[1:], primary_runs[1:], strict=True)
        ),
        "visible": visible,
    }


def _visible(dsn: str, standby_dsn: str, *, commits: int) -> dict[str, float]:
    """Milliseconds from the acknowledgement of a commit to its first sight on the standby, one commit at a time."""
    seconds = []
    with (
        pool(dsn) as primary,
        pool(standby_dsn, read_only=True) as standby,
        primary.session() as writes,
        standby.session() as reads,
    ):
        writes.execute("CREATE TABLE bench_commits (number int PRIMARY KEY)")
        wait_until(lambda: reads.scalar("SELECT to_regclass('bench_commits')"), what="the table on the standby")
        for number in range(commits):
            writes.execute("INSERT INTO bench_commits VALUES (%(number)s)", number=number)
            committed_at = time.perf_counter()
            while reads.scalar("SELECT max(number) FROM bench_commits") != number:
                pass
            seconds.append(time.perf_counter() - committed_at)
    return {f"{name}_ms": 1000 * value for name, value in percentiles(seconds).items()}


def _serves(replica: ReplicaProcess) -> bool:
    status, body = replica.get(PATH)
    return status == 200 and body["size"] == 10

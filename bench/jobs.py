"""Jobs: how many per second, how soon, and how soon again after a worker was killed."""

import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

from bench.processes import WorkerProcess, migrated, pool
from catalog_server.config import Settings
from catalog_server.jobs import Queue
from support.postgres import PostgresServer, wait_until

LEASE_SECONDS = Settings.model_fields["jobs_claim_lease_seconds"].default
BATCH_SIZE = Settings.model_fields["jobs_batch_size"].default


def drain(server: PostgresServer, *, workers: int, jobs: int) -> dict[str, Any]:
    """Jobs without an effect per second, from the first claim to the last completion in the ledger."""
    with migrated(server) as dsn, pool(dsn) as database:
        processes = [WorkerProcess(dsn) for _ in range(workers)]
        try:
            with database.session() as session:
                started = time.perf_counter()
                for begin in range(0, jobs, 10_000):
                    Queue().enqueue_many(session, "noop", [{}] * min(10_000, jobs - begin))
                enqueue_seconds = time.perf_counter() - started
                session.execute("ANALYZE jobs")
                for process in processes:
                    process.begin()
                wait_until(
                    lambda: session.scalar("SELECT count(*) FROM jobs WHERE state <> 'completed'") == 0,
                    seconds=110,
                    what="the queue's end",
                )
                row = session.row(
                    "SELECT extract(epoch FROM max(finished_at) - min(claimed_at)) AS seconds, count(*) AS attempts"
                    " FROM job_attempts"
                )
            assert row is not None
        finally:
            for process in processes:
                process.finish()
    return {
        "workers": workers,
        "jobs": jobs,
        "attempts": row.attempts,
        "batch_size": BATCH_SIZE,
        "seconds": float(row.seconds),
        "jobs_per_second": jobs / float(row.seconds),
        "enqueued_per_second": jobs / enqueue_seconds,
    }


def pickup(server: PostgresServer, *, jobs: int) -> dict[str, Any]:
    """From before the enqueueing statement to the handler's start, one job at a time, the workers idle."""
    with migrated(server) as dsn, pool(dsn) as database:
        process = WorkerProcess(dsn)
        process.begin()
        with database.session() as session:
            for number in range(jobs + 20):
                Queue().enqueue(session, "timed", {"enqueued_at": time.time()})
                wait_until(
                    lambda number=number: (
                        session.scalar("SELECT count(*) FROM jobs WHERE state = 'completed'") == number + 1
                    ),
                    what="the job's completion",
                )
        seconds = json.loads(process.finish())[20:]  # the first ones warm up
    return {"jobs": jobs} | {f"{name}_ms": 1000 * value for name, value in percentiles(seconds).items()}


def rescue(server: PostgresServer, *, jobs: int) -> dict[str, Any]:
    """From the SIGKILL of a worker to the start of the last job it had held, by default settings."""
    with migrated(server) as dsn, pool(dsn) as database:
        victim, survivor = WorkerProcess(dsn), WorkerProcess(dsn)
        try:
            with database.session() as session:
                Queue().enqueue_many(session, "endless", [{}] * jobs)
            victim.begin()
            for _ in range(jobs):
                victim.read_line()
            killed_at = time.time()
            victim.kill()
            survivor.begin()
            starts = [survivor.read_line().split() for _ in range(jobs)]
        finally:
            victim.kill()
            survivor.finish()
    seconds = [float(started_at) - killed_at for _, _, started_at in starts]
    return {
        "jobs": jobs,
        "jobs_run_again": len({job_id for _, job_id, _ in starts}),
        "claim_lease_seconds": LEASE_SECONDS,
        "last_started_after_seconds": max(seconds),
    }


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the maximum, in the unit of the values."""
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": max(values)}

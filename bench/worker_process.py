"""One worker process: the product's own Worker, Rescuer and Listener, with handlers that do nothing.

Prints `ready` once it is connected, begins with the first line on standard input, and ends at its end. Then it
prints the latencies it saw, as JSON.
"""

import asyncio
import json
import os
import sys
import time

from catalog_server.config import Settings
from catalog_server.db import Database
from catalog_server.jobs import Job, Listener, Queue, Rescuer, RetryPolicy, Worker


class Nothing:
    """A job without work and without an effect."""

    kind = "noop"

    async def run(self, job: Job) -> None:
        return None


class Timed:
    """Notes how long after its enqueueing it was started, in seconds."""

    kind = "timed"

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def run(self, job: Job) -> None:
        self.seconds.append(time.time() - job.payload["enqueued_at"])


class Endless:
    """Never ends by itself; says when it was started."""

    kind = "endless"

    async def run(self, job: Job) -> None:
        print(f"started {job.id} {time.time()}", flush=True)
        await asyncio.sleep(3600)


async def main(dsn: str) -> None:
    settings = Settings(database_dsn=dsn)

    def pool(purpose: str, size: int) -> Database:
        return Database(dsn, purpose=purpose, size=size, deadline_seconds=30, connect_timeout_seconds=5)

    database, heartbeat = pool("worker", 3), pool("heartbeat", 1)
    queue, timed = Queue(), Timed()
    worker = Worker(
        database=database,
        heartbeat_database=heartbeat,
        queue=queue,
        handlers=[Nothing(), timed, Endless()],
        identity=f"bench-{os.getpid()}",
        concurrency=settings.jobs_concurrency,
        batch_size=settings.jobs_batch_size,
        claim_lease_seconds=settings.jobs_claim_lease_seconds,
        heartbeat_seconds=settings.jobs_heartbeat_seconds,
        poll_seconds=settings.jobs_poll_seconds,
        retry=RetryPolicy(),
    )
    rescuer = Rescuer(database=heartbeat, queue=queue, interval_seconds=settings.jobs_rescue_seconds)
    listener = Listener(dsn, on_wake=worker.wake)
    await asyncio.gather(*(database.run(lambda session: session.scalar("SELECT 1")) for _ in range(12)))
    background = [asyncio.create_task(rescuer.run()), asyncio.create_task(listener.run())]
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await worker.start()
    await asyncio.to_thread(sys.stdin.read)
    await worker.stop(0.0)
    for task in background:
        task.cancel()
    print(json.dumps(timed.seconds), flush=True)


if __name__ == "__main__":
    asyncio.run(main(os.environ["BENCH_DSN"]))

"""A worker in a process of its own, for tests that kill, pause and stop it: python worker_process.py '{...}'.

The argument is JSON: dsn, identity, and settings that differ from `DEFAULTS`. Logs go to standard error.
"""

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from catalog_server.db import Database, Session
from catalog_server.jobs import Effect, Job, Listener, Queue, Rescuer, RetryPolicy, Worker

DEFAULTS = {
    "concurrency": 4,
    "batch_size": 50,
    "claim_lease_seconds": 1.0,
    "heartbeat_seconds": 0.25,
    "poll_seconds": 0.2,
    "rescue_seconds": 0.1,
    "deadline_seconds": 10.0,
    "listen": True,
    "grace_seconds": 0.1,
}
EFFECTS = "CREATE TABLE effects (job_id bigint NOT NULL, token bigint NOT NULL, worker_id text NOT NULL)"


class Append:
    """Works for `seconds`, then appends a row to the table `effects`.

    With a `gate`, the worker named `gated_worker` waits between the row and the completion for that lock.
    """

    kind = "append"

    def __init__(self, identity: str) -> None:
        self._identity = identity

    async def run(self, job: Job) -> Effect | None:
        await asyncio.sleep(job.payload.get("seconds", 0))

        def effect(session: Session) -> None:
            session.execute(
                "INSERT INTO effects VALUES (%(job_id)s, %(token)s, %(worker_id)s)",
                job_id=job.id,
                token=job.claim_token,
                worker_id=self._identity,
            )
            if job.payload.get("gated_worker") == self._identity:
                session.execute("SELECT pg_advisory_xact_lock(%(gate)s)", gate=job.payload["gate"])

        return effect


class Nothing:
    """A job without an effect: completed in batches."""

    kind = "nothing"

    async def run(self, job: Job) -> Effect | None:
        await asyncio.sleep(job.payload.get("seconds", 0))
        return None


class Kill:
    """Ends the process that runs it, every time."""

    kind = "kill"

    async def run(self, job: Job) -> Effect | None:
        os.kill(os.getpid(), signal.SIGKILL)
        return None


class WorkerProcess:
    """Starts this file as a process and sends it signals."""

    def __init__(self, dsn: str, identity: str, folder: Path, **settings: Any) -> None:
        self.identity = identity
        self._log = folder / f"{identity}.log"
        argument = json.dumps(DEFAULTS | {"dsn": dsn, "identity": identity} | settings)
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, __file__, argument], stderr=log)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)


async def main(settings: dict[str, Any]) -> None:
    def pool(purpose: str, size: int) -> Database:
        seconds = settings["deadline_seconds"]
        return Database(
            settings["dsn"], purpose=purpose, size=size, deadline_seconds=seconds, connect_timeout_seconds=seconds / 2
        )

    database, heartbeat_database, queue = pool("worker", 3), pool("heartbeat", 1), Queue()
    worker = Worker(
        database=database,
        heartbeat_database=heartbeat_database,
        queue=queue,
        handlers=[Append(settings["identity"]), Nothing(), Kill()],
        identity=settings["identity"],
        retry=RetryPolicy(0.05, 0.2),
        **{name: settings[name] for name in ("concurrency", "batch_size", "claim_lease_seconds")},
        **{name: settings[name] for name in ("heartbeat_seconds", "poll_seconds")},
    )
    rescuer = Rescuer(database=heartbeat_database, queue=queue, interval_seconds=settings["rescue_seconds"])
    listener = Listener(settings["dsn"], on_wake=worker.wake)
    asked_to_stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_stop.set)
    await worker.start()
    others = [asyncio.create_task(rescuer.run())]
    if settings["listen"]:
        others.append(asyncio.create_task(listener.run()))
    await asked_to_stop.wait()
    await worker.stop(settings["grace_seconds"])
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.to_thread(database.close)
    await asyncio.to_thread(heartbeat_database.close)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    asyncio.run(main(json.loads(sys.argv[1])))

"""How long nobody leads after the leader was killed, or stopped in order, with the default timings."""

import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.processes import ROOT, migrated, pool
from catalog_server.config import Settings
from catalog_server.db import Session
from catalog_server.leadership import Leader, read_leader
from support.postgres import PostgresServer, wait_until
from support.replica import QUICK, ReplicaProcess

REPLICAS = 3
SOURCES = ROOT / "samples" / "catalog" / "sources.yaml"


def default(field: str) -> Any:
    """The default of a setting: what is measured is what a user gets."""
    return Settings.model_fields[field].default


def fail_over(server: PostgresServer, *, kills: int, seed: int) -> dict[str, Any]:
    """From SIGKILL, and from SIGTERM, to when the database names another leader; at random phases."""
    phase = random.Random(seed)
    settings = {name.removeprefix("CATALOG_").lower() for name in QUICK}
    defaults = {name: str(default(name)) for name in settings}
    with migrated(server) as dsn, pool(dsn) as database, tempfile.TemporaryDirectory() as folder:
        replicas = [
            ReplicaProcess(f"replica-{number}", dsn, Path(folder), sources_file=str(SOURCES), **defaults)
            for number in range(1, REPLICAS + 1)
        ]
        try:
            with database.session(deadline_seconds=3600) as session:
                killed = [_succession(session, replicas, signal.SIGKILL, phase) for _ in range(kills)]
                stopped = [_succession(session, replicas, signal.SIGTERM, phase) for _ in range(kills)]
        finally:
            for replica in replicas:
                replica.kill()
    return {
        "seed": seed,
        "kills": kills,
        "lease_seconds": default("leadership_lease_seconds"),
        "retry_seconds": default("leadership_retry_seconds"),
        "drain_seconds": default("drain_seconds"),
        "sigkill_seconds": [seconds for seconds, _ in killed],
        "sigterm_seconds": [seconds for seconds, _ in stopped],
        "sigterm_leaderless_seconds": [gap for _, gap in stopped],
    }


def _succession(
    session: Session, replicas: list[ReplicaProcess], number: signal.Signals, phase: random.Random
) -> tuple[float, float]:
    """Ends the leader; returns seconds to the next leader, and from the term's noted end to the next term."""
    for replica in replicas:
        replica.wait_until_ready()
    first = wait_until(lambda: _leader(session), seconds=60, what="a leader")
    time.sleep(phase.uniform(0, default("leadership_retry_seconds")))  # any phase of the leader's renewals
    victim = next(replica for replica in replicas if first.holder.startswith(f"{replica.name}/"))
    ended_at = time.monotonic()
    victim.signal(number)
    wait_until(lambda: (now := _leader(session)) and now.epoch > first.epoch, seconds=60, what="another leader")
    seconds = time.monotonic() - ended_at
    gap = session.scalar(
        "SELECT extract(epoch FROM next.started_at - last.ended_at) FROM leadership_terms AS last"
        " JOIN leadership_terms AS next ON next.epoch > last.epoch WHERE last.epoch = %(epoch)s"
        " ORDER BY next.epoch LIMIT 1",
        epoch=first.epoch,
    )
    victim.process.wait(timeout=60)
    victim.start()
    return seconds, float(gap)


def _leader(session: Session) -> Leader | None:
    return read_leader(session, default("leadership_lease_name"))

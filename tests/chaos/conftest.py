"""Deployments with quick timings: one for the tests of a file, one for the runs of a worker of pytest."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2.extensions
import pytest

from catalog_server.db import deadline
from chaos.short_runs import ShortRuns
from deploy.deployment import REPLICAS_MAX, free_port_range
from ha_verify.targets.local import LocalTarget

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
QUICK = {
    "leadership_lease_seconds": 3,
    "leadership_renew_deadline_seconds": 2,
    "leadership_retry_seconds": 0.4,
    "drain_seconds": 0.5,
    "settings": {
        "probes_enabled": True,
        "jobs_claim_lease_seconds": 3,
        "jobs_heartbeat_seconds": 0.5,
        "database_deadline_seconds": 2,
    },
}


@pytest.fixture(scope="module")
def target() -> Iterator[LocalTarget]:
    """Three replicas, deployed. What a test breaks it heals."""
    # The verification runs without the server's code, which would want a deadline for every database call.
    psycopg2.extensions.set_wait_callback(None)
    # Not pytest's folder: as root it is closed to the unprivileged user that runs PostgreSQL.
    folder = Path(tempfile.mkdtemp(prefix="catalog-verify-"))
    folder.chmod(0o755)
    base = free_port_range(2 * REPLICAS_MAX + 5)
    ports = {
        "http_port": base,
        "haproxy_stats_port": base + 1,
        "postgresql_port": base + 2,
        "replica_port_base": base + 3,
        "database_proxy_port_base": base + 3 + REPLICAS_MAX,
    }
    made = LocalTarget(folder / "state", QUICK | ports)
    try:
        asyncio.run(made.up())
        yield made
    finally:
        asyncio.run(made.down())
        shutil.rmtree(folder)
        deadline.install()


@pytest.fixture(scope="session")
def short_runs() -> Iterator[ShortRuns]:
    """The deployment that this worker's runs have one after the other."""
    runs = ShortRuns(WORKER)
    yield runs
    runs.destroy()


@pytest.fixture(scope="session")
def replicated_runs() -> Iterator[ShortRuns]:
    """Another one, for runs that need several members of the database."""
    runs = ShortRuns(WORKER + 20)
    yield runs
    runs.destroy()


@pytest.fixture(scope="session")
def backed_up_runs() -> Iterator[ShortRuns]:
    """Another one, for runs that need backups as well."""
    runs = ShortRuns(WORKER + 40)
    yield runs
    runs.destroy()


@pytest.fixture
def bounded_runs() -> ShortRuns:
    """Another one, for a run that has the database on a volume of its own: without data yet, and not kept."""
    return ShortRuns(WORKER + 30)

"""Liveness, readiness and health.

`/healthz` answers as long as the event loop turns and touches nothing else. `/readyz` asks the named checks
(config, database, migrations, draining), which are bounded in time by whoever makes them. `/health` adds what
a person looks at: database, disk space and memory.
"""

import os
import shutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from aiohttp import web

from catalog_server import __version__
from catalog_server.observability import metrics

SERVICE = "catalog-server"
LOW_DISK_FRACTION = 0.05
LOW_MEMORY_FRACTION = 0.05


@dataclass(frozen=True)
class Check:
    """One named part of readiness. A check may be ok and still have something to say."""

    ok: bool
    reason: str | None = None

    def document(self) -> dict[str, object]:
        return {"ok": self.ok, "reason": self.reason}


Checks = Mapping[str, Check]
READINESS: web.AppKey[Callable[[], Awaitable[Checks]]] = web.AppKey("readiness")


def routes() -> list[web.RouteDef]:
    """Each endpoint under the names that orchestrators expect."""
    return [
        web.get("/healthz", live),
        web.get("/health/live", live),
        web.get("/readyz", ready),
        web.get("/health/ready", ready),
        web.get("/health", health),
    ]


async def live(request: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


async def ready(request: web.Request) -> web.Response:
    checks = await request.app[READINESS]()
    is_ready = all(check.ok for check in checks.values())
    metrics.READY.set(is_ready)
    return web.json_response(
        {
            "status": "ready" if is_ready else "not ready",
            "checks": {name: check.document() for name, check in checks.items()},
        },
        status=200 if is_ready else 503,
    )


async def health(request: web.Request) -> web.Response:
    checks = await request.app[READINESS]()
    broken = {name: check.reason for name, check in checks.items() if not check.ok}
    database = {"status": "unhealthy", "reason": broken["database"]} if "database" in broken else {"status": "healthy"}
    disk, memory = _disk_space(Path.cwd()), _memory()
    if broken:
        status = "unhealthy"
    elif "low" in (disk["status"], memory["status"]):
        status = "degraded"
    else:
        status = "healthy"
    return web.json_response(
        {
            "status": status,
            "service": SERVICE,
            "version": __version__,
            "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "checks": {"database": database, "disk_space": disk, "memory": memory},
        },
        status=503 if broken else 200,
    )


def _disk_space(folder: Path) -> dict[str, object]:
    usage = shutil.disk_usage(folder)
    return _share(usage.free, usage.total, LOW_DISK_FRACTION)


def _memory() -> dict[str, object]:
    """Memory the kernel would still give; of the container where it has a limit, else of the machine."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, available = os.sysconf("SC_PHYS_PAGES") * page, os.sysconf("SC_AVPHYS_PAGES") * page
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():  # free pages alone leave out what the page cache would give back
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        available = int(lines["MemAvailable"].split()[0]) * 1024
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if limit.exists() and (text := limit.read_text().strip()) != "max":
        total = int(text)
        available = min(available, total - int(used.read_text()))
    return _share(available, total, LOW_MEMORY_FRACTION)


def _share(available: int, total: int, low_fraction: float) -> dict[str, object]:
    status = "low" if available < low_fraction * total else "healthy"
    return {"status": status, "available_bytes": available, "total_bytes": total}

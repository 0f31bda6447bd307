"""GET /api/v1/cluster: who is there, who leads, how much waits."""

from datetime import datetime
from typing import Any

from aiohttp import web

from catalog_server import replicas
from catalog_server.catalog import store
from catalog_server.db import Session
from catalog_server.http.context import Services, services
from catalog_server.leadership import Leader, read_leader
from catalog_server.migrations import read_status


def routes() -> list[web.RouteDef]:
    return [web.get("/api/v1/cluster", show)]


async def show(request: web.Request) -> web.Response:
    current = services(request)
    return web.json_response(await current.database.run(lambda session: _document(session, current)))


def _document(session: Session, current: Services) -> dict[str, Any]:
    settings = current.settings
    schema = read_status(session)
    leader = read_leader(session, settings.leadership_lease_name)
    present = replicas.alive(session, timeout_seconds=settings.replica_timeout_seconds)
    return {
        "schemaVersion": {"current": schema.current, "known": schema.head, "pending": len(schema.pending)},
        "leader": _leader(leader, present),
        "replicas": [_replica(replica, leader) for replica in present],
        "jobs": current.queue.counts(session),
        "catalog": store.counts(session),
    }


def _leader(leader: Leader | None, present: list[replicas.Replica]) -> dict[str, Any] | None:
    """The holder of the newest term; a holder that is not among the living replicas is shown without a name."""
    if leader is None:
        return None
    names = {replica.id: replica.name for replica in present}
    return {
        "holder": leader.holder,
        "replica": names.get(leader.holder),
        "epoch": leader.epoch,
        "since": _time(leader.since),
    }


def _replica(replica: replicas.Replica, leader: Leader | None) -> dict[str, Any]:
    return {
        "id": replica.id,
        "name": replica.name,
        "version": replica.server_version,
        "url": replica.url,
        "ready": replica.ready,
        "leader": leader is not None and leader.holder == replica.id,
        "startedAt": _time(replica.started_at),
        "lastSeenAt": _time(replica.last_seen_at),
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="milliseconds")

"""The table of running replicas: who is there, with which version, ready or not.

Authority: the only SQL on `replicas`. A row is one process start. Liveness is judged by the database clock.

Non-guarantee: a replica that is cut off from the database looks dead here although it runs; nothing that must
be exclusive is decided by this table.
"""

from dataclasses import dataclass
from datetime import datetime

from catalog_server.db import Session


@dataclass(frozen=True)
class Replica:
    """One process start, as last seen by the database."""

    id: str
    name: str
    server_version: str
    schema_head: int
    url: str | None
    ready: bool
    started_at: datetime | None
    last_seen_at: datetime | None


def beat(
    session: Session,
    *,
    id: str,
    name: str,
    server_version: str,
    schema_head: int,
    url: str | None,
    ready: bool,
) -> datetime:
    """Registers the replica, or says that it is still there; returns when, by the database clock."""
    now = session.dialect.now
    seen_at = session.scalar(
        f"""
        INSERT INTO replicas (id, name, server_version, schema_head, url, ready, started_at, last_seen_at)
        VALUES (%(id)s, %(name)s, %(server_version)s, %(schema_head)s, %(url)s, %(ready)s, {now}, {now})
        ON CONFLICT (id) DO UPDATE
        SET ready = excluded.ready, url = excluded.url, last_seen_at = excluded.last_seen_at
        RETURNING last_seen_at
        """,
        id=id,
        name=name,
        server_version=server_version,
        schema_head=schema_head,
        url=url,
        ready=ready,
    )
    beaten_at: datetime = session.dialect.to_datetime(seen_at)
    return beaten_at


def last_seen(session: Session, id: str) -> datetime | None:
    """What the latest `beat` returned of those that this database has; None if it has none."""
    seen_at = session.scalar("SELECT last_seen_at FROM replicas WHERE id = %(id)s", id=id)
    found: datetime | None = session.dialect.to_datetime(seen_at)
    return found


def remove(session: Session, id: str) -> None:
    """Takes a replica that ends in an orderly way off the table."""
    session.execute("DELETE FROM replicas WHERE id = %(id)s", id=id)


def alive(session: Session, *, timeout_seconds: float) -> list[Replica]:
    """Replicas seen within `timeout_seconds`, by name."""
    rows = session.rows(
        f"""
        SELECT id, name, server_version, schema_head, url, ready, started_at, last_seen_at
        FROM replicas WHERE last_seen_at >= {session.dialect.after("since")} ORDER BY name, started_at
        """,
        since=-timeout_seconds,
    )
    at = session.dialect.to_datetime
    return [
        Replica(
            row.id,
            row.name,
            row.server_version,
            row.schema_head,
            row.url,
            bool(row.ready),
            at(row.started_at),
            at(row.last_seen_at),
        )
        for row in rows
    ]


def purge(session: Session, *, retention_seconds: float) -> int:
    """Removes replicas not seen for `retention_seconds`; returns how many."""
    return session.execute(
        f"DELETE FROM replicas WHERE last_seen_at < {session.dialect.after('since')}",
        since=-retention_seconds,
    )

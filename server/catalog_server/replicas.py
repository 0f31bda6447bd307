"""The table of running replicas: who is there, with which version, ready or not.

Authority: the only SQL on `replicas`. A row is one process start. Liveness is judged by the database clock.

Non-guarantee: a replica that is cut off from the database looks dead here although it runs; nothing that must
be exclusive is decided by this table.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

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


def read_clock(session: Session) -> Any:
    """The database clock at this moment, in the form that it is stored in."""
    return session.scalar(f"SELECT {session.dialect.now}")


def beat(
    session: Session,
    *,
    id: str,
    name: str,
    server_version: str,
    schema_head: int,
    url: str | None,
    ready: bool,
    seen_at: Any = None,
) -> None:
    """Registers the replica, or says that it is still there: now, or at what `read_clock` has just returned."""
    now = session.dialect.now
    session.execute(
        f"""
        INSERT INTO replicas (id, name, server_version, schema_head, url, ready, started_at, last_seen_at)
        VALUES (%(id)s, %(name)s, %(server_version)s, %(schema_head)s, %(url)s, %(ready)s, {now},
                COALESCE(%(seen_at)s, {now}))
        ON CONFLICT (id) DO UPDATE
        SET ready = excluded.ready, url = excluded.url, last_seen_at = excluded.last_seen_at
        """,
        id=id,
        name=name,
        server_version=server_version,
        schema_head=schema_head,
        url=url,
        ready=ready,
        seen_at=seen_at,
    )


def last_seen(session: Session, id: str) -> Any:
    """The time of the latest `beat` that this database has, in the form that it is stored in; None if it has none."""
    return session.scalar("SELECT last_seen_at FROM replicas WHERE id = %(id)s", id=id)


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

"""What was applied to this database, when and by whom: the only SQL on `schema_migrations`."""

from dataclasses import dataclass
from datetime import datetime

from catalog_server.db import Session
from catalog_server.migrations.version import Version

_EXISTS = {
    "postgresql": "SELECT to_regclass(%(table)s) IS NOT NULL",
    "sqlite": "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = %(table)s",
}


@dataclass(frozen=True)
class Applied:
    """A row of the history. What it says of a version is true even if this server never heard of it."""

    number: int
    name: str
    checksum: str
    oldest_server_head: int
    applied_at: datetime | None
    applied_by: str
    duration_ms: int

    def __str__(self) -> str:
        return f"{self.number:04d}_{self.name}"


def table_exists(session: Session, table: str) -> bool:
    """Whether the name is that of a table this session would use."""
    return bool(session.scalar(_EXISTS[session.dialect.name], table=table))


def create(session: Session) -> None:
    """Makes the table where it is missing. Only for a holder of the migration lock."""
    if table_exists(session, "schema_migrations"):
        return
    time = "timestamptz" if session.dialect.name == "postgresql" else "text"
    session.execute(
        f"""
        CREATE TABLE schema_migrations (
            number integer PRIMARY KEY,
            name text NOT NULL,
            checksum text NOT NULL,
            oldest_server_head integer NOT NULL,
            applied_at {time} NOT NULL,
            applied_by text NOT NULL,
            duration_ms bigint NOT NULL
        )
        """
    )


def read(session: Session) -> list[Applied]:
    """Every applied version, oldest first; none in a database that was never migrated."""
    if not table_exists(session, "schema_migrations"):
        return []
    rows = session.rows(
        """
        SELECT number, name, checksum, oldest_server_head, applied_at, applied_by, duration_ms
        FROM schema_migrations ORDER BY number
        """
    )
    at = session.dialect.to_datetime
    return [
        Applied(
            number=row.number,
            name=row.name,
            checksum=row.checksum,
            oldest_server_head=row.oldest_server_head,
            applied_at=at(row.applied_at),
            applied_by=row.applied_by,
            duration_ms=row.duration_ms,
        )
        for row in rows
    ]


def add(session: Session, version: Version, *, applied_by: str, duration_ms: int) -> None:
    """Records a version, in the transaction that applied it."""
    session.execute(
        f"""
        INSERT INTO schema_migrations
            (number, name, checksum, oldest_server_head, applied_at, applied_by, duration_ms)
        VALUES (%(number)s, %(name)s, %(checksum)s, %(oldest)s, {session.dialect.now}, %(by)s, %(ms)s)
        """,
        number=version.number,
        name=version.name,
        checksum=version.checksum(session.dialect.name),
        oldest=version.oldest_server_head,
        by=applied_by,
        ms=duration_ms,
    )


def remove(session: Session, version: Version) -> None:
    """Forgets a version, in the transaction that took it back."""
    session.execute("DELETE FROM schema_migrations WHERE number = %(number)s", number=version.number)

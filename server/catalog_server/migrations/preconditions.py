"""What must be true of a database and of the way to it before the migration lock is worth taking."""

from catalog_server.db import Session
from catalog_server.migrations.errors import NotWritable, PooledConnection

USE_DIRECT_ADDRESS = "Set migrations_dsn (CATALOG_MIGRATIONS_DSN) to the address of the database server"


def refuse_unless_writable(session: Session) -> None:
    """Raises `NotWritable` where no table could be made."""
    if session.dialect.name == "sqlite":
        return  # the lock file and the first write tell
    row = session.row(
        """
        SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
               current_user AS role, current_schema() AS schema,
               COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create
        """
    )
    assert row is not None
    if row.standby or row.read_only:
        raise NotWritable("the database is a standby or read-only", "Name the primary, or all hosts, in the address")
    if not row.may_create:
        raise NotWritable(
            f"role {row.role} may not create tables in schema {row.schema or '(none of its search_path)'}",
            f"As the owner: GRANT CREATE ON SCHEMA {row.schema or 'public'} TO {row.role}",
        )


def refuse_pooler(session: Session, other: Session) -> None:
    """Raises `PooledConnection` where two client connections share server sessions.

    Ours asks several times which server session it has, since a pooler may take turns. Then the other holds
    a transaction, and with it a server session, while ours is idle, since a pooler may prefer the session
    used last. Without a pooler, or with one that pools whole sessions, ours never changes and is never the
    other's. A pooler that picks at random may pass; then `MigrationLock.verify` refuses later.
    """
    backend = "SELECT pg_backend_pid()"
    ours = {session.scalar(backend) for _ in range(3)}
    with other.transaction():
        theirs = other.scalar(backend)
        if theirs in ours or len(ours) > 1 or session.scalar(backend) not in ours:
            raise PooledConnection(
                "the address leads through a transaction pooler, where the migration lock protects nothing",
                USE_DIRECT_ADDRESS,
            )

"""What must be true of a database and of the way to it before the migration lock is worth taking."""

from catalog_server.db import Session
from catalog_server.migrations.errors import NotWritable, PooledConnection

_DIRECT = "Set migrations_dsn (CATALOG_MIGRATIONS_DSN) to the address of the database server itself"


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
        raise NotWritable(
            "the database is a standby or read-only", "Name the primary, or all hosts, in the address"
        )
    if not row.may_create:
        raise NotWritable(
            f"role {row.role} may not create tables in schema {row.schema or '(none of its search_path)'}",
            f"As the owner: GRANT CREATE ON SCHEMA {row.schema or 'public'} TO {row.role}",
        )


def refuse_pooler(session: Session, other: Session) -> None:
    """Raises `PooledConnection` where two client connections share server sessions.

    The other connection holds a transaction, and with it a server session, while ours, which is idle, asks
    for its own again. Without a pooler, or with one that pools whole sessions, ours is the same as before and
    never the other's. A pooler with many idle server sessions may pass; then `MigrationLock.verify` refuses
    later.
    """
    ours = session.scalar("SELECT pg_backend_pid()")
    with other.transaction():
        theirs = other.scalar("SELECT pg_backend_pid()")
        if theirs == ours or session.scalar("SELECT pg_backend_pid()") != ours:
            raise PooledConnection(
                "the address leads through a transaction pooler, where the migration lock protects nothing",
                _DIRECT,
            )

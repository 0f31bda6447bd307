"""Whether a server can run on the schema that a database has: decided by data, here and nowhere else.

The rule: a server whose newest version is H runs on a schema at version S if S >= H and every applied
version above H names an `oldest_server_head` of H or older. So an old server runs on a newer schema for as
long as the newer versions only expand; it ends with the version that contracts. A server never runs on a
schema older than its own head: it is not ready until its versions are applied.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from catalog_server.db import Session
from catalog_server.migrations import history
from catalog_server.migrations.errors import (
    ChangedVersion,
    HistoryGap,
    IncompatibleSchema,
    MigrationError,
    VersionsPending,
)
from catalog_server.migrations.history import Applied
from catalog_server.migrations.lock import Holder, find_holder
from catalog_server.migrations.version import Version
from catalog_server.migrations.versions import VERSIONS


@dataclass(frozen=True)
class SchemaStatus:
    """The schema of one database, as one server sees it."""

    applied: tuple[Applied, ...]
    head: int  # the newest version this server knows
    pending: tuple[Version, ...]  # known and not applied, in order
    refusal: MigrationError | None  # why this server may neither use nor change the schema
    lock_holder: Holder | None  # asked for only while something is pending

    @property
    def current(self) -> int:
        """The newest applied version; 0 in a database that was never migrated."""
        return self.applied[-1].number if self.applied else 0

    @property
    def newer(self) -> tuple[Applied, ...]:
        """Applied versions that this server does not know."""
        return tuple(applied for applied in self.applied if applied.number > self.head)

    @property
    def compatible(self) -> bool:
        """False if this server must not touch this schema. Pending versions may still be missing."""
        return self.refusal is None

    @property
    def problem(self) -> MigrationError | None:
        """Why this server can not run on this schema now, or None if it can."""
        if self.refusal is not None or not self.pending:
            return self.refusal
        names = ", ".join(map(str, self.pending))
        holder = f"; the migration lock is held by {self.lock_holder}" if self.lock_holder else ""
        return VersionsPending(
            f"pending: {names}{holder}",
            "Wait for the replica that migrates" if self.lock_holder else "Run catalog-server db upgrade",
        )

    @property
    def explanation(self) -> str:
        """The problem and its remedy in words; empty if there is none."""
        return str(self.problem) if self.problem else ""


def read_status(session: Session, versions: Sequence[Version] = VERSIONS) -> SchemaStatus:
    """Reads the history of the session's database: two short queries, three while something is pending."""
    applied = tuple(history.read(session))
    numbers = {row.number for row in applied}
    pending = tuple(version for version in versions if version.number not in numbers)
    return SchemaStatus(
        applied=applied,
        head=len(versions),
        pending=pending,
        refusal=refusal(applied, versions, session.dialect.name),
        lock_holder=find_holder(session) if pending else None,
    )


def refusal(applied: Sequence[Applied], versions: Sequence[Version], dialect: str) -> MigrationError | None:
    """Why a server with these versions may not use a schema with this history; None if it may."""
    head = len(versions)
    for row in applied:
        if row.number <= head and row.checksum != versions[row.number - 1].checksum(dialect):
            return ChangedVersion(
                f"version {row} was changed after it was applied: its checksum in the database differs",
                "Run the server that applied it, or restore the version; write changes as a new version",
            )
    for position, row in enumerate(applied, 1):
        if row.number != position:
            return HistoryGap(
                f"version {row} is applied but version {position:04d} is not",
                "Restore the missing row of schema_migrations, or the database, from a backup",
            )
    for row in applied[head:]:
        if row.oldest_server_head > head:
            return IncompatibleSchema(
                f"the database is at version {row}, which needs servers that know version"
                f" {row.oldest_server_head:04d}; this one knows {head:04d}",
                "Upgrade the server, or take the version back with the newer server's db downgrade",
            )
    return None

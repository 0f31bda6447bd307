"""One member of a replicated database, asked by itself: whatever leads to the primary may lead elsewhere."""

from abc import ABC, abstractmethod
from typing import Any

from ha_verify.targets.members import Member, Role
from ha_verify.targets.postgresql import PostgreSQL

# The timeline is that of the newest segment: a standby's control file learns of it only at its next restart point.
_LOOK = """
    SELECT standby,
           (CASE WHEN standby THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                 ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint AS lsn,
           (SELECT max(('x' || left(name, 8))::bit(32)::int) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$')
               AS timeline,
           EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming') AS follows
    FROM pg_is_in_recovery() AS standby
"""
# A message in the WAL, for no one: it needs a commit and its confirmation as any write does, and leaves nothing behind.
_WRITE = "SELECT pg_logical_emit_message(true, 'ha-verify', 'a write')"
_TIMELINE = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline"
# Committed without waiting for anybody, so that there is something to be delivered.
_UNDELIVERED = (
    "SET synchronous_commit = local",
    "SELECT set_config('ha_verify.lsn', pg_logical_emit_message(true, 'ha-verify', 'undelivered')::text, false)",
    "SELECT pg_sleep(0.3)",
    "SELECT (current_setting('ha_verify.lsn')::pg_lsn - max(write_lsn))::bigint AS bytes FROM pg_stat_replication",
)


class AskedMember(ABC):
    """Blocking. Subclasses say how it is reached."""

    name: str

    @abstractmethod
    def ask(self, *statements: str, seconds: float) -> list[dict[str, Any]]:
        """What the last of them returns; each is a transaction, and all are of one session.

        Raises `psycopg2.Error`, also where it does not answer within so many seconds.
        """

    def look(self, seconds: float) -> Member:
        """Raises `psycopg2.Error` where it does not answer in time."""
        row = self.ask(_LOOK, seconds=seconds)[0]
        role: Role = "standby" if row["standby"] else "primary"
        return Member(self.name, role, row["timeline"], row["lsn"], bool(row["follows"]))

    def write(self, seconds: float) -> int:
        """The timeline on which it was acknowledged. Raises `psycopg2.Error`."""
        return int(self.ask(_WRITE, _TIMELINE, seconds=seconds)[0]["timeline"])

    def undelivered_bytes(self, seconds: float) -> int | None:
        """Of what it has just written, what the replica that is furthest ahead does not have; 0 or less where it has
        all of it. None without any replica. Raises `psycopg2.Error`."""
        rows = self.ask(*_UNDELIVERED, seconds=seconds)
        return None if rows[0]["bytes"] is None else int(rows[0]["bytes"])


class MemberServer(AskedMember, PostgreSQL):
    """By an address of its own."""

    def __init__(self, name: str, dsn: str) -> None:
        super().__init__()
        self.name = name
        self._dsn = dsn

    def superuser_dsn(self) -> str:
        return self._dsn

    def ask(self, *statements: str, seconds: float) -> list[dict[str, Any]]:
        with self._session(seconds) as cursor:
            for statement in statements:
                cursor.execute(statement)
            return [dict(row) for row in cursor.fetchall()] if cursor.description else []

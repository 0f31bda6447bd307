"""One member of a replicated database, asked by its own address."""

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
# Committed without waiting for anybody, so that there is something to be sent.
_UNSENT = """
    SET synchronous_commit = local;
    SELECT pg_logical_emit_message(true, 'ha-verify', 'not sent');
    SELECT pg_sleep(0.2);
    SELECT (pg_current_wal_flush_lsn() - max(sent_lsn))::bigint AS bytes FROM pg_stat_replication
"""


class MemberServer(PostgreSQL):
    """Blocking, as its base is."""

    def __init__(self, name: str, dsn: str) -> None:
        super().__init__()
        self.name = name
        self._dsn = dsn

    def superuser_dsn(self) -> str:
        return self._dsn

    def look(self, seconds: float) -> Member:
        """Raises `psycopg2.Error` where it does not answer in time."""
        row = self.sql(_LOOK, seconds=seconds)[0]
        role: Role = "standby" if row["standby"] else "primary"
        return Member(self.name, role, row["timeline"], row["lsn"], bool(row["follows"]))

    def write(self, seconds: float) -> int:
        """The timeline on which it was acknowledged. Raises `psycopg2.Error`."""
        with self._session(seconds) as cursor:
            cursor.execute(_WRITE)
            cursor.execute(_TIMELINE)
            return int(cursor.fetchone()["timeline"])

    def unsent_bytes(self, seconds: float) -> int | None:
        """What it has written and not sent to the replica that is furthest ahead; None without any replica."""
        rows = self.sql(_UNSENT, seconds=seconds)
        return None if rows[0]["bytes"] is None else int(rows[0]["bytes"])

"""A lease in a table of the database, for deployments without Kubernetes."""

from catalog_server.db import Database, Session
from catalog_server.leadership.lease import Conflict, LeaseRecord


class DatabaseLease:
    """One row per lease name; `version` grows with every write and is what the swap compares."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._name = name

    async def get(self) -> LeaseRecord | None:
        def read(session: Session) -> LeaseRecord | None:
            row = session.row(
                "SELECT holder, epoch, duration_seconds, version FROM leadership_leases WHERE name = %(name)s",
                name=self._name,
            )
            return LeaseRecord(row.holder, row.epoch, row.duration_seconds, row.version) if row else None

        return await self._database.run(read)

    async def create(self, record: LeaseRecord) -> LeaseRecord:
        def insert(session: Session) -> LeaseRecord:
            now = session.dialect.now
            made = session.execute(
                f"""
                INSERT INTO leadership_leases
                    (name, holder, epoch, duration_seconds, version, acquired_at, renewed_at)
                VALUES (%(name)s, %(holder)s, %(epoch)s, %(duration_seconds)s, 1, {now}, {now})
                ON CONFLICT (name) DO NOTHING
                """,
                name=self._name,
                holder=record.holder,
                epoch=record.epoch,
                duration_seconds=record.duration_seconds,
            )
            if not made:
                raise Conflict(f"lease {self._name} exists")
            return LeaseRecord(record.holder, record.epoch, record.duration_seconds, 1)

        return await self._database.run(insert)

    async def update(self, record: LeaseRecord, expected: LeaseRecord) -> LeaseRecord:
        def swap(session: Session) -> LeaseRecord:
            now = session.dialect.now
            # Invariant: of all writers that read the same version, one changes the row.
            swapped = session.execute(
                f"""
                UPDATE leadership_leases
                SET holder = %(holder)s, epoch = %(epoch)s, duration_seconds = %(duration_seconds)s,
                    version = version + 1, renewed_at = {now},
                    acquired_at = CASE WHEN holder = %(holder)s THEN acquired_at ELSE {now} END
                WHERE name = %(name)s AND version = %(expected_version)s
                    AND epoch = %(expected_epoch)s AND holder = %(expected_holder)s
                """,
                name=self._name,
                holder=record.holder,
                epoch=record.epoch,
                duration_seconds=record.duration_seconds,
                expected_version=expected.version,
                expected_epoch=expected.epoch,  # a row that was deleted and made again counts from 1 again,
                expected_holder=expected.holder,  # and may carry the same epoch, if it was not taken yet
            )
            if not swapped:
                raise Conflict(f"lease {self._name} is not at version {expected.version} any more")
            return LeaseRecord(record.holder, record.epoch, record.duration_seconds, expected.version + 1)

        return await self._database.run(swap)

    async def close(self) -> None:
        """The pool is its maker's to close."""

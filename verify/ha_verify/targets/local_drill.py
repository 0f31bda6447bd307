"""Disasters of the local deployment, and its playbooks by the words of the runbook."""

import asyncio
import shutil
from collections.abc import Sequence

from ha_verify.targets.database import LocalDatabase
from ha_verify.targets.deployed import Deployed
from ha_verify.targets.drill import Rows
from ha_verify.targets.members import Members
from ha_verify.targets.playbook import Playbook, PlaybookFailed
from ha_verify.targets.target import NotPossible

# Whoever inserts waits from the lock on; readers do not. The time is read behind the lock, so whatever has committed to
# the table has done it before that time, and whatever will, the deletion included, does it later.
_LOCK = "LOCK TABLE probes IN EXCLUSIVE MODE"
_ROWS = """
    SELECT %(moment)s AS moment, count(*) AS count,
           coalesce(sum(hashtextextended(probe::text, 0)::numeric), 0)::text AS checksum
    FROM probes AS probe WHERE created_at <= %(moment)s::timestamptz
"""
_NOW = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00:00' AS moment"


class LocalDrill:
    """Implements `Drill`."""

    def __init__(self, deployed: Deployed, members: Members, database: LocalDatabase, playbook: Playbook) -> None:
        self._deployed = deployed
        self._members = members
        self._database = database
        self._playbook = playbook

    async def destroy(self, members: Sequence[str]) -> str:
        seen = []
        for name in members:
            said = await self._members.lose(name)
            data = self._deployed.member_data(name)
            await asyncio.to_thread(shutil.rmtree, data)
            seen.append(f"{name}: {said}, {data.name} is {'there' if data.exists() else 'gone'}")
        return "; ".join(seen)

    async def delete_rows(self) -> Rows:
        return await asyncio.to_thread(self._delete_rows)

    def _delete_rows(self) -> Rows:
        with self._database.transaction() as cursor:
            cursor.execute(_LOCK)
            cursor.execute(_NOW)
            cursor.execute(_ROWS, cursor.fetchone())
            rows = Rows(**cursor.fetchone())
            cursor.execute("DELETE FROM probes")
            return rows

    async def rows_until(self, moment: str) -> Rows:
        return Rows(**(await asyncio.to_thread(self._database.sql, _ROWS, {"moment": moment}))[0])

    async def follow(self, script: str, **settings: str) -> str:
        try:
            return await asyncio.to_thread(
                self._playbook.follow, script, BACKUPS=str(self._deployed.backups()), **settings
            )
        except PlaybookFailed as failed:
            raise NotPossible(str(failed)) from failed

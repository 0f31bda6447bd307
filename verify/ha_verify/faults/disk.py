"""The disk under the database is full."""

import contextlib
from typing import Any

import psycopg2

from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target

# In a table that is not logged, so that only room is asked for.
_WANT_ROOM = "CREATE TEMPORARY TABLE wants_room AS SELECT repeat('x', 100) FROM generate_series(1, 100000)"


class FillDisk:
    """The proof: so many bytes were free, and PostgreSQL gets none of them any more."""

    name, class_ = "full disk under PostgreSQL", "disk"
    needs: tuple[Need, ...] = ("disk",)

    async def inject(self, target: Target) -> dict[str, Any]:
        taken = await target.fill_disk()
        if not taken:
            raise FaultFailed("the disk was full already")
        try:
            await target.sql(_WANT_ROOM)
        except psycopg2.Error as error:
            refused = str(error).strip()
        else:
            raise FaultFailed("the disk is full, and PostgreSQL still finds room there")
        # What is left of the log's present file is given up: with few writes it would last for minutes.
        with contextlib.suppress(psycopg2.Error):  # PostgreSQL may end by this
            await target.sql("SELECT pg_switch_wal()")
        return {"taken_bytes": taken, "refused": refused}

    async def heal(self, target: Target) -> dict[str, Any]:
        await target.heal()
        return {"sql": (await target.sql("SELECT 'answered' AS said"))[0]["said"]}

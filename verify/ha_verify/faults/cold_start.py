"""All replicas start at once on a schema that may be missing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal

from ha_verify.faults import seen
from ha_verify.targets import Target

START_SECONDS = 60.0
BLOCK_SECONDS = 12

# Who writes to pg_class, as CREATE TABLE does, waits; who reads it, as everybody does, does not.
_BLOCK = f"BEGIN; LOCK TABLE pg_catalog.pg_class IN SHARE MODE; SELECT pg_sleep({BLOCK_SECONDS}) AS blocked; COMMIT"
_UNBLOCK = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE query LIKE 'BEGIN; LOCK TABLE pg_catalog.pg_class%' AND pid <> pg_backend_pid()
"""
_HOLDER = """
    SELECT substring(a.application_name FROM ' ([^ /]+)/') AS replica
    FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND a.application_name LIKE 'migrating@%'
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class ColdStart:
    """Replicas start at once. With `kill_holder` the one that migrates is killed (SIGKILL) in the midst of it.

    For that its next CREATE is made to wait, so that the kill never comes too late. The proof: other instances run;
    and the session that held the migration lock was that of the replica that was killed.
    """

    class_ = "cold-start"

    def __init__(
        self, schema: Literal["empty", "half-migrated", "current"], *, kill_holder: bool = False, replicas: int = 3
    ) -> None:
        if schema == "current" and kill_holder:
            raise ValueError("kill_holder = True: nobody migrates a current schema. Use 'empty' or 'half-migrated'")
        self.name = f"cold start, schema {schema}" + (", lock holder killed" if kill_holder else "")
        self._schema: Literal["empty", "half-migrated", "current"] = schema
        self._kill_holder = kill_holder
        self._count = replicas

    async def inject(self, target: Target) -> dict[str, Any]:
        before = {each.instance for each in await target.replicas()}
        await target.start_cold(self._schema, self._count)
        proof: dict[str, Any] = {"schema": self._schema}
        if self._kill_holder:
            proof["killed"] = await self._kill_who_migrates(target)

        async def all_others_run() -> bool:
            now = await target.replicas()
            return len(now) == self._count and all(r.running and r.instance not in before for r in now)

        await seen.until(f"{self._count} new instances", START_SECONDS, all_others_run)
        proof["instances"] = {each.name: each.instance for each in await target.replicas()}
        return proof

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}

    async def _kill_who_migrates(self, target: Target) -> dict[str, str]:
        async with migration_held(target) as holder:
            victim = await seen.running(target, holder, START_SECONDS)
            await target.signal(victim.name, "KILL")
        return {"replica": victim.name, "instance": victim.instance}


@contextlib.asynccontextmanager
async def migration_held(target: Target) -> AsyncIterator[str]:
    """Entered in the midst of the migration of whom it names, which gets no further; left, it goes on.

    Replicas take a while to start: the block is there before they migrate. Raises `FaultFailed` where nobody does.
    """
    block = asyncio.create_task(_block(target))
    try:
        holders: list[str] = []

        async def somebody_migrates() -> bool:
            holders[:] = [row["replica"] for row in await target.sql(_HOLDER) if row["replica"]]
            return bool(holders)

        await seen.until("a holder of the migration lock", START_SECONDS, somebody_migrates)
        yield holders[0]
    finally:
        block.cancel()
        with contextlib.suppress(Exception):  # where the server was lost, its sessions were
            await target.sql(_UNBLOCK)
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await block


async def _block(target: Target) -> None:
    """Until it is cancelled and its session ended; in parts, since a statement has a time limit."""
    while True:
        await target.sql(_BLOCK)

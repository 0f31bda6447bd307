"""Whether this replica should get requests, and why not."""

import asyncio

from catalog_server.app.schema import SchemaKeeper
from catalog_server.db import Database
from catalog_server.http.health import Check, Checks
from catalog_server.migrations import SchemaStatus, read_status
from catalog_server.observability import metrics


class Readiness:
    """The checks database, migrations and draining; each answer takes at most the pool's deadline.

    Probes that arrive while one is under way share its answer, so that many probes cost one connection.
    """

    def __init__(self, database: Database, schema: SchemaKeeper) -> None:
        self._database = database
        self._schema = schema
        self._draining: str | None = None
        self._probe: asyncio.Task[Checks] | None = None

    def drain(self, reason: str) -> None:
        """From now on the replica is not ready, for good."""
        self._draining = reason

    async def checks(self) -> Checks:
        """Names and results, worst first for a reader: database, migrations, draining."""
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask_database())
        checks = dict(await asyncio.shield(self._probe))
        checks["draining"] = Check(self._draining is None, self._draining)
        return checks

    async def _ask_database(self) -> Checks:
        try:
            status = await self._database.run(read_status)
        except Exception as error:
            unknown = Check(False, "unknown while the database cannot be asked")
            return {"database": Check(False, self._schema.refusal or str(error)), "migrations": unknown}
        metrics.MIGRATIONS_PENDING.set(len(status.pending))
        return {
            "database": Check(self._schema.refusal is None, self._schema.refusal),
            "migrations": _migrations(status, self._schema.progress),
        }


def _migrations(status: SchemaStatus, progress: str | None) -> Check:
    if status.problem is None:
        return Check(True)
    return Check(False, status.explanation + (f" (this replica: {progress})" if progress else ""))

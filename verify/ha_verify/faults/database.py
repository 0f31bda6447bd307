"""PostgreSQL restarts, crashes, is paused, ends its connections, or has none left."""

import asyncio
from typing import Any, Literal

from ha_verify.faults import seen
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Need, Target

BACK_SECONDS = 90.0  # a crashed server replays its log
SILENT_SECONDS = 1.0

_STARTED = "SELECT pg_postmaster_start_time()::text AS at"
_SESSIONS = """
    SELECT pid, backend_start::text AS since FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND datname = current_database() AND pid <> pg_backend_pid()
"""


class Database:
    """Restarted in an orderly way, or killed at once. The proof: another server runs, by its own start time."""

    def __init__(self, action: Literal["restart", "crash"]) -> None:
        self.name = f"PostgreSQL {action}"
        self.class_ = f"database-{action}"
        self._action: Literal["restart", "crash"] = action

    async def inject(self, target: Target) -> dict[str, Any]:
        before = (await target.sql(_STARTED))[0]["at"]
        await target.database(self._action)

        async def another_runs() -> bool:
            return await _answer(target) not in (None, before)

        await seen.until("another PostgreSQL server", BACK_SECONDS, another_runs)
        return {"started": before, "started_again": await _answer(target)}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}


class PauseDatabase:
    """All its processes stop: connections stay open and say nothing. The proof: a query is not answered."""

    name, class_ = "PostgreSQL pause", "database-pause"

    async def inject(self, target: Target) -> dict[str, Any]:
        await target.database("pause")
        try:
            answer = await asyncio.wait_for(target.sql(_STARTED), SILENT_SECONDS)
        except TimeoutError:
            return {"sql": f"no answer in {SILENT_SECONDS:g} s"}
        raise FaultFailed(f"PostgreSQL was paused, and yet answers: {answer}")

    async def heal(self, target: Target) -> dict[str, Any]:
        await target.database("resume")

        async def it_answers() -> bool:
            return await _answer(target) is not None

        await seen.until("an answer of PostgreSQL", BACK_SECONDS, it_answers)
        return {"sql": "answered"}


class TerminateBackends:
    """Ends the connections of all replicas. The proof: the sessions that there were are gone."""

    name, class_ = "terminate backends", "connections"

    async def inject(self, target: Target) -> dict[str, Any]:
        before = await _sessions(target)
        ended = await target.terminate_backends()
        if not ended:
            raise FaultFailed("no replica was connected")

        async def all_are_gone() -> bool:
            return not before & await _sessions(target)

        await seen.until("the end of all sessions", SILENT_SECONDS * 10, all_are_gone)
        return {"ended": ended}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}


class ExhaustConnections:
    """Takes every connection that is free, ends those of the replicas, and takes them too, as far as it is faster.

    The proof: PostgreSQL refuses further connections; so many are held, and so many of the replicas' were ended.
    """

    name, class_ = "exhaust connections", "connections"
    needs: tuple[Need, ...] = ("spare connections",)

    async def inject(self, target: Target) -> dict[str, Any]:
        await target.exhaust_connections()
        ended = await target.terminate_backends()
        held = await target.exhaust_connections()
        if not held:
            raise FaultFailed("not one connection was there to be taken")
        return {"held": held, "ended": ended}

    async def heal(self, target: Target) -> dict[str, Any]:
        await target.heal()
        return {"sessions": len(await _sessions(target))}


async def _answer(target: Target) -> str | None:
    """When the server started, by its own word; None where it does not answer."""
    try:
        return str((await target.sql(_STARTED))[0]["at"])
    except Exception:  # every target has its own way to say that the database is away
        return None


async def _sessions(target: Target) -> set[tuple[int, str]]:
    return {(row["pid"], row["since"]) for row in await target.sql(_SESSIONS)}

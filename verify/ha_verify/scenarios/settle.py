"""Waits for events: that the deployment has recovered, and that its queue is empty."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp

from ha_verify.targets import Target
from ha_verify.workloads.final import database_time

_LOOK_SECONDS = 0.25
_PATIENCE_SECONDS = 2.0
_UNFINISHED = "SELECT count(*) AS jobs FROM jobs WHERE state IN ('available', 'running')"
_NEWEST_TICK = "SELECT coalesce(extract(epoch FROM max(at)), 0)::double precision AS at FROM singleton_ticks"


class NotInTime(Exception):
    """What was waited for did not happen; the message says what was seen instead."""


def recovery_seconds(target: Target) -> float:
    """How long a recovery is waited for: well beyond every bound that checkers hold it against."""
    timing = target.timing
    return timing.lease + timing.retry + timing.claim_lease + timing.start + 30.0


def restart_seconds(target: Target) -> float:
    """How long it takes at most until replicas that were just started are ready, and one of them leads."""
    timing = target.timing
    return timing.start + timing.lease + timing.retry


async def settled(target: Target, replicas: int, within_seconds: float) -> None:
    """Returns when so many replicas are ready, a leader has written anew, and all members of the database are there.

    Raises `NotInTime`.
    """
    asked_at: float | None = None

    async def look() -> str | None:
        nonlocal asked_at
        amiss = await _unready(target, replicas) or await _away(target)
        if amiss:
            return amiss
        if asked_at is None:
            asked_at = await database_time(target)
        newest = float((await target.sql(_NEWEST_TICK))[0]["at"])
        return None if newest > asked_at else "no leader has written since"

    await _until(look, within_seconds)


async def drained(target: Target, within_seconds: float) -> None:
    """Returns when no job waits or runs. Raises `NotInTime`."""

    async def look() -> str | None:
        jobs = (await target.sql(_UNFINISHED))[0]["jobs"]
        return f"{jobs} jobs are unfinished" if jobs else None

    await _until(look, within_seconds)


async def serves(target: Target) -> bool:
    """Whether any replica is ready; an error in finding out is none."""
    try:
        return any((await _readiness(target)).values())
    except Exception:
        return False


async def _readiness(target: Target) -> dict[str, bool]:
    """By replica."""
    replicas = await target.replicas()
    timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        ready = await asyncio.gather(*(_is_ready(session, replica.url) for replica in replicas))
    return {replica.name: is_ready for replica, is_ready in zip(replicas, ready, strict=True)}


async def _unready(target: Target, expected: int) -> str | None:
    replicas = await _readiness(target)
    missing = [name for name, is_ready in replicas.items() if not is_ready]
    if missing:
        return f"not ready: {', '.join(missing)}"
    return f"{len(replicas)} of {expected} replicas are there" if len(replicas) != expected else None


async def _away(target: Target) -> str | None:
    """Members of the database that do not follow its primary."""
    if "database members" in target.lacks:
        return None
    primary = (await target.members.primary()).name
    others = [name for name in await target.members.names() if name != primary]
    away = [name for name in others if not (await target.members.look(name)).follows]
    return f"{', '.join(away)} do not follow {primary}" if away else None


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz") as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False


async def _until(look: Callable[[], Awaitable[str | None]], within_seconds: float) -> None:
    """`look` returns what is still amiss; an error of its own counts as that."""
    deadline = time.monotonic() + within_seconds
    while True:
        try:
            amiss = await look()
        except Exception as error:
            amiss = f"{type(error).__name__}: {str(error).strip()}"
        if amiss is None:
            return
        if time.monotonic() > deadline:
            raise NotInTime(f"{amiss}, after {within_seconds:.0f} s")
        await asyncio.sleep(_LOOK_SECONDS)

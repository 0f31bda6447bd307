"""Whom a fault hits. Chosen when it is injected, since who leads and who works changes."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Target

Choice = Callable[[Target], Awaitable[str]]

WORK_SECONDS = 5.0  # how long a worker is waited for; jobs are short
WORK_POLL_SECONDS = 0.01
LEAD_POLL_SECONDS = 0.1
CATCH_SECONDS = 2.0  # how long it is tried to pause one before its job is done

_WORKING = """
    SELECT split_part(worker_id, '/', 1) AS replica, count(*) AS jobs
    FROM jobs WHERE state = 'running' GROUP BY 1 ORDER BY 1
"""


async def leader(target: Target) -> str:
    """Whoever leads and runs: one that was just ended may be told for a moment, or nobody.

    Raises `FaultFailed` where that lasts.
    """
    give_up_at = time.monotonic() + target.timing.lease + target.timing.retry
    while True:
        name = await target.leader()
        running = [each.name for each in await target.replicas() if each.running]
        if name in running:
            return str(name)
        if time.monotonic() > give_up_at:
            raise FaultFailed(f"{name or 'nobody'} leads, and {', '.join(running) or 'nobody'} runs")
        await asyncio.sleep(LEAD_POLL_SECONDS)


def follower(nth: int = 0) -> Choice:
    """The nth of those who run and do not lead, in the order of their names, counted round."""

    async def choose(target: Target) -> str:
        leading = await target.leader()
        names = [each.name for each in await target.replicas() if each.running and each.name != leading]
        if not names:
            raise FaultFailed("no replica runs that does not lead")
        return names[nth % len(names)]

    return choose


def worker(nth: int = 0) -> Choice:
    """A replica that holds the claim of a job now, rather one that does not lead; where nobody works, a follower."""

    async def choose(target: Target) -> str:
        leading = await target.leader()
        give_up_at = time.monotonic() + WORK_SECONDS
        while time.monotonic() < give_up_at:
            names = [str(row["replica"]) for row in await target.sql(_WORKING)]
            if names:  # claims outlive who held them
                running = {each.name for each in await target.replicas() if each.running}
                names = [name for name in names if name in running]
            others = [name for name in names if name != leading]
            if names:
                return others[nth % len(others)] if others else names[0]
            await asyncio.sleep(WORK_POLL_SECONDS)
        return await follower(nth)(target)

    return choose


async def claims_of(target: Target, replica: str) -> int:
    """Jobs whose claims this replica holds, alive or not."""
    rows = await target.sql(_WORKING)
    return next((int(row["jobs"]) for row in rows if row["replica"] == replica), 0)


async def paused_in_a_job(target: Target, choose: Choice) -> tuple[str, float]:
    """Pauses a replica that holds the claim of a job; its name, and when that was (`time.time()`).

    Who was done before the signal came goes on at once, and another is tried. Where jobs are too short for that, the
    last one stays paused, without a claim.
    """
    give_up_at = time.monotonic() + CATCH_SECONDS
    while True:
        name, struck_at = await choose(target), time.time()
        await target.signal(name, "STOP")
        caught = False
        try:
            caught = bool(await claims_of(target, name)) or time.monotonic() > give_up_at
        finally:
            if not caught:
                await target.signal(name, "CONT")
        if caught:
            return name, struck_at

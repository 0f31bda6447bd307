"""What can be seen of a target from outside: the proofs of faults are made of this."""

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime

import aiohttp

from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Replica, Target

ANSWER_SECONDS = 1.0  # a process that lives answers /healthz within a millisecond or so
POLL_SECONDS = 0.05


async def replica(target: Target, name: str) -> Replica:
    """Raises `FaultFailed` where there is none of this name."""
    replicas = {each.name: each for each in await target.replicas()}
    if name not in replicas:
        raise FaultFailed(f"there is no replica {name!r}, only {', '.join(replicas)}")
    return replicas[name]


async def until(what: str, seconds: float, look: Callable[[], Awaitable[object]]) -> None:
    """Returns when `look` returns something true. Raises `FaultFailed` after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            # What is looked at has no event to wait for.
            while not await look():  # noqa: ASYNC110
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise FaultFailed(f"{what} was not seen within {seconds:g} s") from None


async def running(target: Target, name: str, seconds: float) -> Replica:
    """The replica, once it is known to run: an orchestrator may hear of that later than others of what it does.

    Raises `FaultFailed` if it is not after `seconds`.
    """

    async def look() -> bool:
        return any(each.name == name and each.running and each.instance for each in await target.replicas())

    await until(f"{name} running", seconds, look)
    return await replica(target, name)


async def instance_other_than(target: Target, name: str, before: str, seconds: float) -> str:
    """The instance that runs in the place of `before`. Raises `FaultFailed` if there is none after `seconds`."""

    async def look() -> bool:
        now = await replica(target, name)
        return now.running and now.instance not in ("", before)

    await until(f"another instance of {name} than {before}", seconds, look)
    return (await replica(target, name)).instance


async def answers(url: str) -> str:
    """The status of /healthz, or in words why there was no answer."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(f"{url}/healthz") as response:
            return str(response.status)
    except TimeoutError:
        return f"no answer in {ANSWER_SECONDS:g} s"
    except aiohttp.ClientError as error:
        return type(error).__name__


async def wall_clock(url: str) -> float | None:
    """Seconds since 1970 by the replica's own clock, from the Date of its answer; None without an answer."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(f"{url}/healthz") as response:
            date = response.headers.get("Date")
            return parsedate_to_datetime(date).timestamp() if date else None
    except (aiohttp.ClientError, TimeoutError):
        return None

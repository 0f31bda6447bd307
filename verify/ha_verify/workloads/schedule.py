"""Arrivals at a fixed rate: an open model of load."""

import asyncio
from collections.abc import Awaitable, Callable

from ha_verify.workloads.client import Client

_DEADLINE_SECONDS = 30.0  # for what is still in flight at the end; every request has a shorter one of its own


async def offer(
    client: Client, rate_per_second: float, send: Callable[[int], Awaitable[object]], stop: asyncio.Event
) -> int:
    """Calls `send` with the intended time of each arrival (nanoseconds of the history's clock) until `stop` is set.

    A call is made at its time whether or not those before have ended; where this process itself was late, the
    calls are made up for with the intended times they should have had. Returns how many there were, all ended;
    raises what the first of them raised.
    """
    interval_ns = int(1e9 / rate_per_second)
    intended_ns = client.recorder.now_ns()
    sent: set[asyncio.Future[object]] = set()
    failures: list[BaseException] = []

    def ended(task: asyncio.Future[object]) -> None:
        sent.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            failures.append(error)

    count = 0
    while not stop.is_set():
        wait_seconds = (intended_ns - client.recorder.now_ns()) / 1e9
        if wait_seconds > 0 and await _set_within(stop, wait_seconds):
            break
        task: asyncio.Future[object] = asyncio.ensure_future(send(intended_ns))
        sent.add(task)
        task.add_done_callback(ended)
        count += 1
        intended_ns += interval_ns
        if wait_seconds <= 0:
            await asyncio.sleep(0)  # let the others have their turn while arrears are made up for
    if sent:
        _, late = await asyncio.wait(sent, timeout=_DEADLINE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
    if failures:
        raise failures[0]
    return count


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True

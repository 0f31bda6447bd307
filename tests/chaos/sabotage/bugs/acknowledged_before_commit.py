"""A write is answered with 202 before its transaction is committed.

A replica that dies in between has acknowledged what is lost. The transaction stays open for 0.8 s after the answer, to
widen the window.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from catalog_server.db import Database, Session
from catalog_server.http import probes
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "writes-kept"
OPTIONS = ("--trials", "2")

_running: set[asyncio.Task[Any]] = set()


async def answer_early(database: Database, work: Callable[[Session], Any]) -> Any:
    """What the work returns, as soon as it does."""
    loop = asyncio.get_running_loop()
    result: asyncio.Future[Any] = loop.create_future()

    def slowly_committed(session: Session) -> None:
        done = work(session)
        loop.call_soon_threadsafe(result.set_result, done)
        time.sleep(0.8)

    task = asyncio.create_task(database.transaction(slowly_committed))
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.wait([result, task], return_when=asyncio.FIRST_COMPLETED)
    return result.result() if result.done() else await task


def apply() -> None:
    vars(probes)["answer_early"] = answer_early
    edit(probes.accept, ("await current.database.transaction(\n", "await answer_early(current.database,\n"))

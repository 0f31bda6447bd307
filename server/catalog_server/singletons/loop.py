"""The shape all leader-only loops share: a round, every so often, under the fence."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from catalog_server.leadership import Fenced, Term
from catalog_server.observability import metrics
from catalog_server.observability.logs import log_context

log = logging.getLogger(__name__)


class RoundFailed(Exception):
    """The round failed for a reason that its loop has told: it is counted, and not told again every round."""


class Loop(Protocol):
    """One leader-only duty."""

    @property
    def name(self) -> str:
        """Its name in logs and metrics."""

    @property
    def interval_seconds(self) -> float:
        """Pause between two rounds."""

    async def tick(self, term: Term) -> None:
        """One round. Raises `Fenced` if the term has been succeeded, or any other error if it failed."""


async def run_loops(loops: Sequence[Loop], term: Term) -> None:
    """Runs all loops until cancelled, which the elector does when the term ends, or until one is fenced."""
    with log_context(epoch=term.epoch):
        tasks = [asyncio.create_task(_run(loop, term), name=f"singleton-{loop.name}") for loop in loops]
        try:
            # A loop returns only when it is fenced; a successor leads, so the others have nothing to do either.
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _run(loop: Loop, term: Term) -> None:
    while True:
        try:
            await loop.tick(term)
        except Fenced:
            metrics.FENCED_WRITES.labels(loop.name).inc()
            log.warning("a singleton write was refused: the term has been succeeded", extra={"loop": loop.name})
            return
        except RoundFailed:
            metrics.SINGLETON_TICKS.labels(loop.name, "failed").inc()
        except Exception:
            metrics.SINGLETON_TICKS.labels(loop.name, "failed").inc()
            log.exception("a round failed and will be tried again", extra={"loop": loop.name})
        else:
            metrics.SINGLETON_TICKS.labels(loop.name, "done").inc()
        await asyncio.sleep(loop.interval_seconds)

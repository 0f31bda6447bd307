"""Where a catalog read is answered."""

import logging
from collections.abc import Callable
from typing import TypeVar

from catalog_server.db import Database, Session
from catalog_server.observability import metrics
from catalog_server.reads.position import Token, current_position
from catalog_server.reads.standby import Standby, Unfit

log = logging.getLogger(__name__)

T = TypeVar("T")

# The write is committed already: rather no position than an answer that comes late.
TOKEN_DEADLINE_SECONDS = 1.0


class Reads:
    """The standby where there is one and it is fit, else the primary."""

    def __init__(self, primary: Database, standby: Standby | None = None) -> None:
        self._primary = primary
        self._standby = standby

    async def run(self, work: Callable[[Session], T], token: Token | None = None) -> T:
        """What `work`, which only reads, returns. It may run twice. Raises what the primary raises."""
        if self._standby is not None:
            try:
                result = await self._standby.run(work, token)
            except Unfit as unfit:
                metrics.READ_FALLBACKS.labels(unfit.reason).inc()
                log.debug("read from the primary: %s", unfit)
            else:
                metrics.READS.labels("standby").inc()
                return result
        metrics.READS.labels("primary").inc()
        return await self._primary.run(work)

    async def token(self) -> Token | None:
        """A token of all that was committed before this call; None on SQLite, where there is nothing to tell apart.

        Never raises: where the position can not be learnt, it is the token that the primary alone satisfies.
        """
        if self._primary.dialect.name != "postgresql":
            return None
        try:
            return Token(await self._primary.run(current_position, deadline_seconds=TOKEN_DEADLINE_SECONDS))
        except Exception as error:
            log.warning("a token without a position: %s", error)
            return Token(None)

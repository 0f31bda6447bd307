"""A candidate that, while it leads, writes one guarded row after the other as fast as it can.

Arguments: DSN, name. Prints `leading EPOCH`, and `refused EPOCH` for a write that was fenced.
"""

import asyncio
import sys
from contextlib import suppress

from catalog_server.db import Database, DatabaseUnavailable, Session
from catalog_server.leadership import Election, Elector, Fence, Fenced, Term, Timing, make_backend

TIMING = Timing(lease_seconds=2.0, renew_deadline_seconds=1.2, retry_seconds=0.3)
FENCE = Fence("test")


async def main(dsn: str, name: str) -> None:
    def pool(purpose: str, deadline_seconds: float) -> Database:
        return Database(
            dsn, purpose=purpose, size=1, deadline_seconds=deadline_seconds, connect_timeout_seconds=deadline_seconds
        )

    election, writes = pool("election", 0.3), pool("writes", 1)

    def write(session: Session) -> None:
        # The statement in front of the row gives a signal time to arrive between the check and the write.
        session.execute("SELECT pg_sleep(0.005)")
        session.execute(
            "INSERT INTO guarded (epoch, holder) SELECT epoch, %(name)s FROM leadership_epochs WHERE name = 'test'",
            name=name,
        )

    async def try_to_write(term: Term) -> bool:
        try:
            await writes.transaction(FENCE.guarded(term, write))
        except Fenced:
            print(f"refused {term.epoch}", flush=True)
            return False
        except DatabaseUnavailable:
            pass  # the transaction that it was paused in was ended by the server
        return True

    async def lead(term: Term) -> None:
        """Stubborn: told to end, it goes on until it is refused, so that only the fence is in its way."""
        print(f"leading {term.epoch}", flush=True)
        going_on = True
        while going_on:
            with suppress(asyncio.CancelledError):
                going_on = await try_to_write(term)

    backend = await make_backend("database", name="test", namespace=None, database=election)
    elector = Elector(
        backend=backend,
        epochs=Election(FENCE, election),
        identity=name,
        timing=TIMING,
        lead=lead,
    )
    await elector.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))

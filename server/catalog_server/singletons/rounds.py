"""The record of rounds: the only SQL on `singleton_ticks`.

Invariant: a round's row is written behind the fence, in the transaction of what the round writes. So the order of
ids is the order of epochs; a row of an older epoch behind one of a newer epoch is a leader that was not fenced.
"""

from collections.abc import Callable
from typing import TypeVar

from catalog_server.db import Session
from catalog_server.leadership import Fence, Term

T = TypeVar("T")


def fenced_round(fence: Fence, term: Term, loop: str, work: Callable[[Session], T]) -> Callable[[Session], T]:
    """`work` and the row of its round, to be run in one transaction, behind the fence."""

    def recorded(session: Session) -> T:
        session.execute(
            f"""
            INSERT INTO singleton_ticks (loop, epoch, holder, at)
            VALUES (%(loop)s, %(epoch)s, %(holder)s, {session.dialect.now})
            """,
            loop=loop,
            epoch=term.epoch,
            holder=term.holder,
        )
        return work(session)

    return fence.guarded(term, recorded)


def purge(session: Session, *, retention_seconds: float) -> int:
    """Removes rows older than the retention; returns how many."""
    return session.execute(
        f"DELETE FROM singleton_ticks WHERE at < {session.dialect.after('since')}", since=-retention_seconds
    )

"""The fence: the epoch in the database that every singleton transaction checks.

Invariants, upheld here and nowhere else:
* The epoch of a name never goes down (`raise_to` changes it only if it is lower).
* A transaction that passed `check` commits before the epoch is raised, or not at all: it holds the row for
  share, and `raise_to` needs it exclusively.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from catalog_server.db import Session
from catalog_server.leadership.term import Term

T = TypeVar("T")


class Fenced(Exception):
    """The term has been succeeded: the transaction is rolled back."""


@dataclass(frozen=True)
class Leader:
    """The newest term that has not ended."""

    holder: str
    epoch: int
    since: datetime | None


class Fence:
    """The fence of one lease name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def current(self, session: Session) -> int:
        """The highest epoch taken so far; 0 before the first."""
        epoch = session.scalar("SELECT epoch FROM leadership_epochs WHERE name = %(name)s", name=self.name)
        return int(epoch or 0)

    def raise_to(self, session: Session, epoch: int, holder: str) -> bool:
        """Takes the epoch if it is higher than all before, and opens its term. Call it in a transaction."""
        raised = session.execute(
            """
            INSERT INTO leadership_epochs (name, epoch) VALUES (%(name)s, %(epoch)s)
            ON CONFLICT (name) DO UPDATE SET epoch = excluded.epoch
            WHERE leadership_epochs.epoch < excluded.epoch
            """,
            name=self.name,
            epoch=epoch,
        )
        if not raised:
            return False
        now = session.dialect.now
        session.execute(
            f"UPDATE leadership_terms SET ended_at = {now} WHERE name = %(name)s AND ended_at IS NULL",
            name=self.name,
        )
        session.execute(
            f"""
            INSERT INTO leadership_terms (name, epoch, holder, started_at)
            VALUES (%(name)s, %(epoch)s, %(holder)s, {now})
            """,
            name=self.name,
            epoch=epoch,
            holder=holder,
        )
        return True

    def end_term(self, session: Session, term: Term) -> None:
        """Notes the end of a term, for people and checkers; a term that never did is ended by its successor."""
        session.execute(
            f"""
            UPDATE leadership_terms SET ended_at = {session.dialect.now}
            WHERE name = %(name)s AND epoch = %(epoch)s AND ended_at IS NULL
            """,
            name=self.name,
            epoch=term.epoch,
        )

    def check(self, session: Session, term: Term) -> None:
        """Raises `Fenced` unless the term's epoch is the newest; keeps it so until the transaction ends.

        Raises `RuntimeError` outside of a transaction, where the answer would be true for a moment only.
        """
        if not session.peewee.in_transaction():
            raise RuntimeError("the fence was checked outside of a transaction")
        epoch = session.scalar(
            f"SELECT epoch FROM leadership_epochs WHERE name = %(name)s {session.dialect.for_share}",
            name=self.name,
        )
        if epoch != term.epoch:
            raise Fenced(f"epoch {term.epoch} has been succeeded by {epoch}")

    def guarded(self, term: Term, work: Callable[[Session], T]) -> Callable[[Session], T]:
        """`work`, to be run in a transaction, behind the check."""

        def checked(session: Session) -> T:
            self.check(session, term)
            return work(session)

        return checked


def read_leader(session: Session, name: str) -> Leader | None:
    """Who leads, as far as the database knows."""
    row = session.row(
        """
        SELECT holder, epoch, started_at FROM leadership_terms
        WHERE name = %(name)s AND ended_at IS NULL ORDER BY epoch DESC LIMIT 1
        """,
        name=name,
    )
    return Leader(row.holder, int(row.epoch), session.dialect.to_datetime(row.started_at)) if row else None

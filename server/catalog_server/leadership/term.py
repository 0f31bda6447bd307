"""A term: one holder's time as leader, under one epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """Handed to the singleton loops; its epoch is what their transactions are checked against."""

    epoch: int
    holder: str

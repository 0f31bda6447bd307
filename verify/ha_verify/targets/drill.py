"""What a drill for disasters does to a database: destroys it, spoils it, and follows the runbook as a person would."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Rows:
    """What the table of acknowledged writes holds of the time up to `moment`, by the database's clock.

    `checksum` does not depend on the order of the rows.
    """

    moment: str  # ISO 8601 with its offset from UTC, to the microsecond
    count: int
    checksum: str


class Drill(Protocol):
    """Raises `NotPossible` where something can not be done. Nothing here is undone by `Target.heal`: the runbook is."""

    async def destroy(self, members: Sequence[str]) -> str:
        """All processes of each are killed, in this order, and its data are deleted. Returns what was seen of them."""

    async def delete_rows(self) -> Rows:
        """Deletes all acknowledged writes, in one transaction and while clients go on.

        Returns what there was just before: exactly what was committed up to its `moment`, since nobody else may write
        to the table from before the moment until the deletion is committed.
        """

    async def rows_until(self, moment: str) -> Rows:
        """What there is now of the time up to this moment."""

    async def follow(self, script: str, **settings: str) -> str:
        """Runs a step of the runbook with these variables set; returns what it said.

        As a person would who has the variables of this deployment: word by word, until the first command that fails.
        Raises `NotPossible` with the end of what was said.
        """

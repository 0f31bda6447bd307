"""The interface of a fault."""

from typing import Any, Protocol

from ha_verify.targets import Target


class FaultFailed(Exception):
    """The fault did not take effect: the trial says nothing. The message says what was seen instead."""


class Fault(Protocol):
    """One thing that can be broken. Made anew for every injection."""

    name: str  # as in the report: "SIGKILL the leader"
    class_: str  # the class whose bound its recovery is held against: see `checkers.recovery`

    async def inject(self, target: Target) -> dict[str, Any]:
        """Breaks it. Returns the proof: what was seen to be broken, and whom it hit. Raises `FaultFailed`."""

    async def heal(self, target: Target) -> dict[str, Any]:
        """Undoes it where it does not end by itself; returns the proof that it is undone."""

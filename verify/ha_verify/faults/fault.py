"""The interface of a fault."""

from typing import Any, Protocol

from ha_verify.targets import Need, Target


class FaultFailed(Exception):
    """The fault did not take effect: the trial says nothing. The message says what was seen instead."""


class Fault(Protocol):
    """One thing that can be broken. Made anew for every injection.

    A fault that not every target can do has `needs`, a tuple of `targets.Need`: see `needs_of`. Where there is a
    delay between the beginning of an injection and the break itself, the proof tells when that was: `struck_at`,
    in seconds since 1970.
    """

    name: str  # as in the report: "SIGKILL the leader"
    class_: str  # the class whose bound its recovery is held against: see `checkers.recovery`

    async def inject(self, target: Target) -> dict[str, Any]:
        """Breaks it. Returns the proof: what was seen to be broken, and whom it hit. Raises `FaultFailed`."""

    async def heal(self, target: Target) -> dict[str, Any]:
        """Undoes it where it does not end by itself; returns the proof that it is undone."""


def needs_of(fault: Fault) -> tuple[Need, ...]:
    """What a target must have for it."""
    needs: tuple[Need, ...] = getattr(fault, "needs", ())
    return needs

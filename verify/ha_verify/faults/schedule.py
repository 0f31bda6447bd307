"""Random schedules: which faults, in which order, upon whom, for how long."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random

from ha_verify.faults.catalogue import FAULTS, hold_seconds
from ha_verify.faults.fault import Fault, needs_of
from ha_verify.targets import Need, Timing

# Left to scenarios of their own: an answer to a wrong clock may be to refuse tokens, which is right.
RANDOM = tuple(name for name in FAULTS if not name.startswith("clock-"))
RECOVERY_MIN_SECONDS = 1.0  # from a fault's healing to the next fault, on average: the wait before that takes longer


def possible(lacks: Collection[Need]) -> tuple[str, ...]:
    """Those of `RANDOM` that need nothing of what the target lacks."""
    return tuple(name for name in RANDOM if not set(needs_of(FAULTS[name].make(0))) & set(lacks))


@dataclass(frozen=True, slots=True)
class Planned:
    """One injection, healed after `hold_seconds`. It comes when the one before it is recovered from."""

    fault: str  # a key of `catalogue.FAULTS`
    hold_seconds: float
    nth: int  # chooses among several victims

    def make(self) -> Fault:
        return FAULTS[self.fault].make(self.nth)


def draw(rng: Random, seconds: float, timing: Timing, names: Sequence[str] = RANDOM) -> list[Planned]:
    """Faults that last for `seconds` even where each is recovered from at once: whoever runs them stops by the clock.

    The same seed of `rng` gives the same list. Every name comes once before one comes twice, so that a long run
    leaves none out. Raises `ValueError` for unknown names.
    """
    unknown = [name for name in names if name not in FAULTS]
    if unknown or not names:
        raise ValueError(f"faults = {list(names)}: unknown are {unknown}. Choose from: {', '.join(FAULTS)}")
    planned: list[Planned] = []
    deck: list[str] = []
    lasting = 0.0
    while lasting < seconds:
        if not deck:
            deck = list(names)
            rng.shuffle(deck)
        name = deck.pop()
        hold = hold_seconds(name, timing, rng)
        planned.append(Planned(name, hold, rng.randrange(9)))
        lasting += hold + RECOVERY_MIN_SECONDS
    return planned

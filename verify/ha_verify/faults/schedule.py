"""Random schedules: which faults, when, for how long."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random

from ha_verify.faults.catalogue import FAULTS, hold_seconds
from ha_verify.faults.fault import Fault, needs_of
from ha_verify.targets import Need, Timing

# Left to scenarios of their own: an answer to a wrong clock may be to refuse tokens, which is right.
RANDOM = tuple(name for name in FAULTS if not name.startswith("clock-"))
GAP_MIN_SECONDS, GAP_MAX_SECONDS = 2.0, 15.0


def possible(lacks: Collection[Need]) -> tuple[str, ...]:
    """Those of `RANDOM` that need nothing of what the target lacks."""
    return tuple(name for name in RANDOM if not set(needs_of(FAULTS[name].make(0))) & set(lacks))


@dataclass(frozen=True, slots=True)
class Planned:
    """One injection: `at_seconds` from the beginning, healed after `hold_seconds`."""

    at_seconds: float
    fault: str  # a key of `catalogue.FAULTS`
    hold_seconds: float
    nth: int  # chooses among several victims

    def make(self) -> Fault:
        return FAULTS[self.fault].make(self.nth)


def draw(rng: Random, seconds: float, timing: Timing, names: Sequence[str] = RANDOM) -> list[Planned]:
    """Faults one after the other until `seconds` are over; the same seed of `rng` gives the same list.

    Every name comes once before one comes twice, so that a long run leaves none out. Raises `ValueError` for
    unknown names.
    """
    unknown = [name for name in names if name not in FAULTS]
    if unknown or not names:
        raise ValueError(f"faults = {list(names)}: unknown are {unknown}. Choose from: {', '.join(FAULTS)}")
    planned: list[Planned] = []
    deck: list[str] = []
    at = rng.uniform(0, GAP_MAX_SECONDS)
    while at < seconds:
        if not deck:
            deck = list(names)
            rng.shuffle(deck)
        name = deck.pop()
        hold = hold_seconds(name, timing, rng)
        planned.append(Planned(round(at, 1), name, hold, rng.randrange(9)))
        at += hold + rng.uniform(GAP_MIN_SECONDS, GAP_MAX_SECONDS)
    return planned

"""How long each change of leader took, trial by trial: the very figures that the claim about failover is held to."""

from collections.abc import Mapping
from dataclasses import dataclass

from ha_verify.checkers.bounds import succession, timing_of
from ha_verify.checkers.leadership import of_leaders
from ha_verify.history import History
from ha_verify.verdict import Verdict

CLAIM = "failover"


@dataclass(frozen=True, slots=True)
class Trial:
    kind: str
    seconds: float
    history: str


@dataclass(frozen=True, slots=True)
class Trials:
    words: str
    each: tuple[Trial, ...]
    bounds: Mapping[str, float]  # in seconds, by kind

    def kinds(self) -> list[str]:
        return sorted({trial.kind for trial in self.each})

    def slowest(self) -> float:
        return max((trial.seconds for trial in self.each), default=0.0)


def failovers(verdict: Verdict, histories: Mapping[str, History]) -> Trials:
    """By the name of the fault, with the bound that the checker derives from the configuration for its class."""
    trials = tuple(
        Trial(kind, seconds, name)
        for claim in verdict.claims
        if claim.key == CLAIM
        for name, by_fault in claim.figures.items()
        for kind, every in by_fault.items()
        for seconds in every
    )
    bounds: dict[str, float] = {}
    for history in histories.values() if trials else ():
        timing = timing_of(history)
        for fault in of_leaders(history):
            bound = succession(fault, timing)
            bounds[fault.name] = max(bounds.get(fault.name, 0.0), bound)
    return Trials("Seconds from a fault that ends a term to the beginning of the next", trials, bounds)

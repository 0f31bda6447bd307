"""How long each change took, trial by trial: the very figures that the claims about them are held to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ha_verify.checkers.bounds import succession, timing_of
from ha_verify.checkers.injected import Injected
from ha_verify.checkers.leadership import of_leaders
from ha_verify.history import History
from ha_verify.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A kind of change whose duration a claim's figures tell, by the name of the fault. `id`: its place in the page."""

    id: str
    claim: str
    title: str
    words: str
    faults: Callable[[History], Sequence[Injected]]  # those that have a bound of their own


FAILOVERS = Change(
    "failover",
    "failover",
    "Failover times",
    "Seconds from a fault that ends a term to the beginning of the next",
    of_leaders,
)
OUTAGES = Change(
    "outage",
    "database-recovers",
    "Outages of the database",
    "Seconds in which no write was acknowledged, from the last one before a fault to the next",
    lambda history: (),
)
CHANGES = (FAILOVERS, OUTAGES)


@dataclass(frozen=True, slots=True)
class Trial:
    kind: str
    seconds: float
    history: str


@dataclass(frozen=True, slots=True)
class Trials:
    change: Change
    each: tuple[Trial, ...]
    bounds: Mapping[str, float]  # in seconds, by kind

    @property
    def words(self) -> str:
        return self.change.words

    def kinds(self) -> list[str]:
        return sorted({trial.kind for trial in self.each})

    def slowest(self) -> float:
        return max((trial.seconds for trial in self.each), default=0.0)


def trials_of(change: Change, verdict: Verdict, histories: Mapping[str, History]) -> Trials:
    """By the name of the fault, with the bound that the checker derives from the configuration for its class."""
    trials = tuple(
        Trial(kind, seconds, name)
        for claim in verdict.claims
        if claim.key == change.claim
        for name, by_fault in claim.figures.items()
        for kind, every in by_fault.items()
        for seconds in every
    )
    bounds: dict[str, float] = {}
    for history in histories.values() if trials else ():
        timing = timing_of(history)
        for fault in change.faults(history):
            bound = succession(fault, timing)
            bounds[fault.name] = max(bounds.get(fault.name, 0.0), bound)
    return Trials(change, trials, bounds)

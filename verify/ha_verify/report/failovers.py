"""How long each change took, and what it cost, trial by trial: the figures that the claims about them are held to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ha_verify.checkers.bounds import succession, timing_of
from ha_verify.checkers.disaster import rpo, rto
from ha_verify.checkers.leadership import of_leaders
from ha_verify.findings import Checker
from ha_verify.history import History
from ha_verify.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A change of which a claim's figures tell a quantity, by the name of the fault. `id`: its place in the page.

    `bounds`: what the claim's checker holds it against, by the name of the fault.
    """

    id: str
    claim: str
    title: str
    words: str
    bounds: Callable[[History], Mapping[str, float]]
    unit: str = "s"
    axis: str = "seconds"
    log: bool = False  # where the bound is far beyond what is usual; no quantity may be 0


def _of_successions(history: History) -> Mapping[str, float]:
    timing = timing_of(history)
    bounds: dict[str, float] = {}
    for fault in of_leaders(history):
        bounds[fault.name] = max(bounds.get(fault.name, 0.0), succession(fault, timing))
    return bounds


def _of_finding(check: Checker) -> Callable[[History], Mapping[str, float]]:
    """For a claim about one fault a run."""

    def bounds(history: History) -> Mapping[str, float]:
        finding = check(history)
        return {} if finding.bound is None else dict.fromkeys(finding.figures, finding.bound)

    return bounds


FAILOVERS = Change(
    "failover",
    "failover",
    "Failover times",
    "Seconds from a fault that ends a term to the beginning of the next",
    _of_successions,
)
OUTAGES = Change(
    "outage",
    "database-recovers",
    "Outages of the database",
    "Seconds in which no write was acknowledged, from the last one before a fault to the next",
    lambda history: {},
)
RECOVERY_TIMES = Change(
    "rto",
    "rto",
    "Recovery times",
    "Seconds from a disaster to the first acknowledged write that is kept (RTO)",
    _of_finding(rto),
    log=True,
)
RECOVERY_POINTS = Change(
    "rpo",
    "rpo",
    "Recovery points",
    "Seconds from the newest acknowledged write that survived to the disaster, 0 where none is lost (RPO)",
    _of_finding(rpo),
)
LOST_WRITES = Change(
    "lost",
    "one-moment",
    "Acknowledged writes lost",
    "How many acknowledged writes a disaster cost",
    lambda history: {},
    unit="writes",
    axis="writes",
)
CHANGES = (FAILOVERS, OUTAGES, RECOVERY_TIMES, RECOVERY_POINTS, LOST_WRITES)


@dataclass(frozen=True, slots=True)
class Trial:
    kind: str
    quantity: float
    history: str


@dataclass(frozen=True, slots=True)
class Trials:
    change: Change
    each: tuple[Trial, ...]
    bounds: Mapping[str, float]  # by kind

    @property
    def words(self) -> str:
        return self.change.words

    def kinds(self) -> list[str]:
        return sorted({trial.kind for trial in self.each})

    def highest(self) -> float:
        return max((trial.quantity for trial in self.each), default=0.0)


def trials_of(change: Change, verdict: Verdict, histories: Mapping[str, History]) -> Trials:
    """By the name of the fault, with the bound that the checker derives from the configuration for its class."""
    trials = tuple(
        Trial(kind, quantity, name)
        for claim in verdict.claims
        if claim.key == change.claim
        for name, by_fault in claim.figures.items()
        for kind, every in by_fault.items()
        for quantity in every
    )
    bounds: dict[str, float] = {}
    for history in histories.values() if trials else ():
        for kind, bound in change.bounds(history).items():
            bounds[kind] = max(bounds.get(kind, 0.0), bound)
    return Trials(change, trials, bounds)

"""What a checker says of one claim in one history."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ha_verify.history import History

Result = Literal["PASS", "FAIL", "INCONCLUSIVE"]


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that must not happen, in words, with the indexes of the events (lines) that show it."""

    message: str
    evidence: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim held against one history.

    `trials` counts the occasions on which the claim could have been violated. `measured` and `bound` are in `unit`;
    exceeding the bound is a violation like any other, and is listed as one. `figures` are for the report.
    """

    claim: str  # a key of `claims.CLAIMS`
    trials: int
    violations: tuple[Violation, ...] = ()
    measured: float | None = None
    bound: float | None = None
    unit: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def result(self) -> Result:
        if self.violations:
            return "FAIL"
        return "PASS" if self.trials else "INCONCLUSIVE"

    @property
    def rate_upper_bound(self) -> float | None:
        """The 95 % upper bound on the rate of violations that this many trials without one give; None with any.

        Exact (Clopper-Pearson) for zero of N: 1 - 0.05 ** (1 / N), which for large N is the rule of three.
        """
        if self.violations or not self.trials:
            return None
        return float(1 - 0.05 ** (1 / self.trials))


Checker = Callable[[History], Finding]


def table_evidence(history: History, table: str) -> tuple[int, ...]:
    """The indexes of the events that tell what the table held at the end."""
    return tuple(event.index for event in history.parts(table))

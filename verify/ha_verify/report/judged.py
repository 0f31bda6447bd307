"""A verdict as rows of the report's table, each violation with links to the lines that show it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ha_verify.report.evidence import Excerpt
from ha_verify.verdict import Found, Judged, Place

VIOLATIONS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Link:
    text: str
    href: str | None  # of an excerpt in the page; None where there is none


@dataclass(frozen=True, slots=True)
class ShownViolation:
    message: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class ClaimRow:
    key: str
    words: str
    requirements: tuple[str, ...]
    result: str
    trials: int
    violations: int
    rate_bound: str
    measured: str
    bound: str
    shown: tuple[ShownViolation, ...]

    @property
    def not_shown(self) -> int:
        return self.violations - len(self.shown)


def claim_row(claim: Judged, found: Mapping[Place, Excerpt]) -> ClaimRow:
    return ClaimRow(
        key=claim.key,
        words=claim.words,
        requirements=tuple(claim.requirements),
        result=claim.result,
        trials=claim.trials,
        violations=len(claim.violations),
        rate_bound="—" if claim.rate_upper_bound is None else f"{claim.rate_upper_bound:.2%}",
        measured=quantity(claim.measured, claim.unit),
        bound=quantity(claim.bound, claim.unit),
        shown=tuple(_shown(violation, found) for violation in claim.violations[:VIOLATIONS_SHOWN]),
    )


def quantity(value: float | None, unit: str) -> str:
    if value is None:
        return "—"
    return f"{value:,.0f} {unit}".rstrip() if abs(value) >= 1000 else f"{value:.4g} {unit}".rstrip()


def all_places(claims: Sequence[Judged]) -> list[Place]:
    """Of the violations that are shown, in the order of the table."""
    return [
        place for claim in claims for violation in claim.violations[:VIOLATIONS_SHOWN] for place in violation.evidence
    ]


def _shown(violation: Found, found: Mapping[Place, Excerpt]) -> ShownViolation:
    links = [
        Link(f"{place.history}:{place.line}", found[place].id if place in found else None)
        for place in violation.evidence
    ]
    return ShownViolation(violation.message, tuple(links))

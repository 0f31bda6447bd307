"""One verdict over any number of histories.

Its JSON form:

    {"result": "PASS" | "FAIL" | "INCONCLUSIVE",
     "histories": [path, ...],
     "untried": [message, ...],
     "claims": [{"claim": key, "words": text, "requirements": [id, ...], "result": ..., "trials": n,
                 "violations": [{"message": text, "evidence": [{"history": path, "line": n}, ...]}, ...],
                 "rate_upper_bound": number or null, "measured": number or null, "bound": number or null,
                 "unit": text, "figures": {path: {...}}}, ...]}

`measured` is the worst of all runs, and `bound` the one that it was held against; `rate_upper_bound` is the 95 %
upper bound on the rate of violations. `line` counts from 1. `untried` tells of faults that did not take effect, and of
claims that a run set out to try and did not.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from ha_verify.checkers import CHECKERS
from ha_verify.checkers.injected import not_injected
from ha_verify.claims import CLAIMS, Claim
from ha_verify.findings import Finding, Result
from ha_verify.history import History

EXIT_CODES: Mapping[Result, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a history, counted from 1."""

    history: str
    line: int


@dataclass(frozen=True, slots=True)
class Found:
    """A violation, and where it is to be seen."""

    message: str
    evidence: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """One claim over all runs that tried it."""

    claim: Claim
    finding: Finding  # of all runs together; its violations are in `violations`
    violations: tuple[Found, ...]
    figures: Mapping[str, Mapping[str, Any]]

    @property
    def key(self) -> str:
        return self.claim.key

    @property
    def words(self) -> str:
        return self.claim.words

    @property
    def requirements(self) -> tuple[str, ...]:
        return self.claim.requirements

    @property
    def result(self) -> Result:
        return self.finding.result

    @property
    def trials(self) -> int:
        return self.finding.trials

    @property
    def rate_upper_bound(self) -> float | None:
        return self.finding.rate_upper_bound

    @property
    def measured(self) -> float | None:
        return self.finding.measured

    @property
    def bound(self) -> float | None:
        return self.finding.bound

    @property
    def unit(self) -> str:
        return self.finding.unit


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all runs say together."""

    histories: tuple[str, ...]
    claims: tuple[Judged, ...]
    untried: tuple[str, ...]

    @property
    def result(self) -> Result:
        """FAIL with any violation; PASS only if every claim was tried and every fault took effect."""
        results = {claim.result for claim in self.claims}
        if "FAIL" in results:
            return "FAIL"
        return "PASS" if results == {"PASS"} and not self.untried else "INCONCLUSIVE"

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.result]

    def to_json(self) -> dict[str, Any]:
        return {
            "result": self.result,
            "histories": list(self.histories),
            "untried": list(self.untried),
            "claims": [_claim_to_json(claim) for claim in self.claims],
        }


def judge(histories: Mapping[str, History]) -> Verdict:
    """Holds the histories, by name, against their claims: promises of safety, and what each run set out to try."""
    findings = {
        name: {key: CHECKERS[key](history) for key in _claims_of(history)} for name, history in histories.items()
    }
    expected = {key for history in histories.values() for key in history.run.get("claims", [])}
    claims = [
        _together(claim, {name: found[key] for name, found in findings.items() if key in found})
        for key, claim in CLAIMS.items()
    ]
    claims = [claim for claim in claims if claim.key in expected or claim.trials or claim.violations]
    untried = [
        f"{name}, line {event.index + 1}: {event.value['fault']}: {event.error}"
        for name, history in histories.items()
        for event in not_injected(history)
    ]
    # One whole run must not hide another that was cut off.
    untried += [
        f"{name}: {CLAIMS[key].words}"
        for name, history in histories.items()
        for key in history.run.get("claims", [])
        if findings[name][key].result == "INCONCLUSIVE"
    ]
    return Verdict(tuple(histories), tuple(claims), tuple(untried))


def _claims_of(history: History) -> set[str]:
    """Promises of safety are of a database that goes on, and say nothing of a run that restores an earlier state."""
    claims = set(history.run.get("claims", CLAIMS))
    if history.run.get("rewinds"):
        return claims
    return claims | {key for key, claim in CLAIMS.items() if claim.safety}


def _together(claim: Claim, findings: Mapping[str, Finding]) -> Judged:
    violations = tuple(
        Found(violation.message, tuple(Place(name, index + 1) for index in violation.evidence))
        for name, finding in findings.items()
        for violation in finding.violations
    )
    measured = [finding for finding in findings.values() if finding.measured is not None]
    worst = max(measured, key=_share_of_bound, default=None)
    merged = Finding(
        claim.key,
        sum(finding.trials for finding in findings.values()),
        tuple(violation for finding in findings.values() for violation in finding.violations),
    )
    if worst is not None:
        merged = replace(merged, measured=worst.measured, bound=worst.bound, unit=worst.unit)
    figures = {name: finding.figures for name, finding in findings.items() if finding.figures}
    return Judged(claim, merged, violations, figures)


def _share_of_bound(finding: Finding) -> float:
    assert finding.measured is not None
    return finding.measured / finding.bound if finding.bound else finding.measured


def _claim_to_json(claim: Judged) -> dict[str, Any]:
    return {
        "claim": claim.key,
        "words": claim.words,
        "requirements": list(claim.requirements),
        "result": claim.result,
        "trials": claim.trials,
        "violations": [asdict(violation) for violation in claim.violations],
        "rate_upper_bound": claim.rate_upper_bound,
        "measured": claim.measured,
        "bound": claim.bound,
        "unit": claim.unit,
        "figures": {name: dict(figures) for name, figures in claim.figures.items()},
    }

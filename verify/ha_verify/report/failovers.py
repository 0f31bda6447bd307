"""How long each change of leader took, trial by trial, seen from outside."""

from collections.abc import Mapping
from dataclasses import dataclass

from ha_verify.history import History
from ha_verify.report.timeline import FaultWindow, Timeline, timeline


@dataclass(frozen=True, slots=True)
class Trial:
    kind: str
    seconds: float
    where: str  # which run, which fault


@dataclass(frozen=True, slots=True)
class Trials:
    words: str
    each: tuple[Trial, ...]
    bounds: Mapping[str, float]  # in seconds, by kind

    def kinds(self) -> list[str]:
        return sorted({trial.kind for trial in self.each})

    def slowest(self) -> float:
        return max((trial.seconds for trial in self.each), default=0.0)


def failovers(histories: Mapping[str, History]) -> Trials:
    """From each fault to the first term that began after it, where one began before the next fault.

    Shown, not judged: the claim about failover is held by its checker. The bound is that of the configuration,
    lease + retry period.
    """
    trials, bounds = [], {}
    for name, history in histories.items():
        timing = history.run.get("timing") or {}
        time = timeline(history)
        for fault, until in zip(time.faults, _next_starts(time), strict=False):
            began = _succession(time, fault, until)
            if began is None:
                continue
            trials.append(Trial(fault.name, began - fault.start, f"{name}, F{fault.number}"))
            if "lease" in timing and "retry" in timing:
                bounds[fault.name] = float(timing["lease"]) + float(timing["retry"])
    return Trials("Seconds from a fault to the next term of leadership", tuple(trials), bounds)


def _next_starts(time: Timeline) -> list[float]:
    return [*[fault.start for fault in time.faults[1:]], time.seconds]


def _succession(time: Timeline, fault: FaultWindow, until: float) -> float | None:
    if fault.took_effect is False:
        return None
    return min((term.start for term in time.terms if fault.start < term.start <= until), default=None)

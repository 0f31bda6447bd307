"""The faults of a run, as the history tells them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ha_verify.history import Event, History


@dataclass(frozen=True, slots=True)
class Injected:
    """One fault that took effect. Times are seconds since the history began."""

    name: str
    class_: str
    began: float  # just before it was injected
    effective: float  # when it was proven
    heal_began: float | None  # None where the run ended first
    healed: float | None
    window_end: float  # the next fault's beginning, or the end of the history
    began_wall: float
    proof: Mapping[str, Any]
    evidence: tuple[int, ...]

    @property
    def struck_wall(self) -> float:
        """When it struck: after `began_wall` by what it took to find the victim and reach it."""
        return float(self.proof.get("struck_at") or self.began_wall)

    @property
    def struck(self) -> float:
        return self.began + max(0.0, self.struck_wall - self.began_wall)

    @property
    def writable(self) -> float:
        """When the database took a write again, where the fault cost it that; else when the fault was effective."""
        at = self.proof.get("writable_at")
        return self.effective if at is None else self.began + max(0.0, float(at) - self.began_wall)

    @property
    def replica(self) -> str | None:
        """The one it hit, if it hit one."""
        return self.proof.get("replica")


def injected(history: History) -> list[Injected]:
    """In the order of injection. A fault that did not take effect is not among them: see `not_injected`."""
    end = history[-1].seconds if len(history) else 0.0
    invokes = history.of("fault", "invoke")
    faults = []
    for number, invoke in enumerate(invokes):
        id_ = invoke.value["id"]
        proven = _of(history, "fault", "ok", id_)
        if proven is None:
            continue
        healing = _of(history, "heal", "invoke", id_)
        healed = _of(history, "heal", "ok", id_) or _of(history, "heal", "fail", id_)
        faults.append(
            Injected(
                name=invoke.value["fault"],
                class_=invoke.value["class"],
                began=invoke.seconds,
                effective=proven.seconds,
                heal_began=healing.seconds if healing else None,
                healed=healed.seconds if healed else None,
                window_end=invokes[number + 1].seconds if number + 1 < len(invokes) else end,
                began_wall=invoke.wall,
                proof=proven.value.get("proof") or {},
                evidence=tuple(event.index for event in (invoke, proven, healed) if event),
            )
        )
    return faults


def not_injected(history: History) -> list[Event]:
    """The events of faults that did not take effect, and so tried nothing."""
    return history.of("fault", "fail")


def leader_at(history: History, seconds: float) -> Mapping[str, Any] | None:
    """What the last observation of a leader before that time said; None where there was none, or no leader."""
    seen = None
    for event in history.of("leader"):
        if event.seconds > seconds:
            break
        if event.error is None:
            seen = event.value
    return seen


def _of(history: History, f: str, type_: Any, id_: int) -> Event | None:
    return next((event for event in history.of(f, type_) if event.value["id"] == id_), None)

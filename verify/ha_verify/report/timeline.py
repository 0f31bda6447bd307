"""What happened when: terms, restarts, unreadiness and faults of a history, as spans of seconds since it began."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ha_verify.history import NEMESIS, Event, History


@dataclass(frozen=True, slots=True)
class Span:
    """`words` say what it was; `lane` is the replica or worker it belongs to."""

    lane: str
    start: float
    end: float
    words: str


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """From the injection to the proof that the fault is undone; to the end of the run where there is none.

    `took_effect` is None where the injection never said."""

    number: int
    name: str
    class_: str
    start: float
    end: float
    took_effect: bool | None
    proof: str


@dataclass(frozen=True, slots=True)
class Timeline:
    seconds: float  # of the whole run
    replicas: tuple[str, ...]
    terms: tuple[Span, ...]
    unready: tuple[Span, ...]
    starts: tuple[Span, ...]  # of a process, until it was ready or had failed
    faults: tuple[FaultWindow, ...]
    phases: tuple[Span, ...]


class RunClock:
    """Places times of the database on the run's clock, by the recorder's wall clock.

    Exact where the database and the recorder share a clock; otherwise off by how far theirs are apart.
    """

    def __init__(self, history: History) -> None:
        offsets = sorted(event.wall - event.seconds for event in history)
        self._began = offsets[len(offsets) // 2] if offsets else 0.0

    def seconds(self, database_time: float) -> float:
        """Since the run began, of seconds since 1970."""
        return database_time - self._began


def timeline(history: History) -> Timeline:
    end = max((event.seconds for event in history), default=0.0)
    terms = tuple(_terms(history, end))
    unready = tuple(_unready(history, end))
    starts = tuple(_starts(history))
    seen = {span.lane for spans in (terms, starts) for span in spans}
    seen |= {str(event.value["replica"]) for event in history.of("readiness")}
    return Timeline(
        seconds=end,
        replicas=tuple(sorted(seen)),
        terms=terms,
        unready=unready,
        starts=starts,
        faults=tuple(_faults(history, end)),
        phases=tuple(
            Span("", event.seconds, following, str(event.value))
            for event, following in _until_next(_phases(history), end)
        ),
    )


def replica_of(holder: str) -> str:
    """Of an identity, which is the replica's name and a part that is new with every start."""
    return holder.rpartition("/")[0] or holder


def _terms(history: History, end: float) -> Iterator[Span]:
    """From the table of terms; from what was observed of it where the run ended before the table was read."""
    clock = RunClock(history)
    rows = history.rows("leadership_terms")
    for row in rows:
        ended = row["ended_at"]
        start = max(0.0, clock.seconds(row["started_at"]))
        stop = min(end, clock.seconds(ended) if ended else end)
        if stop > start:  # else it was over before the run began
            yield Span(replica_of(row["holder"]), start, stop, f"leads, epoch {row['epoch']}")
    if rows:
        return
    observed = [event for event in history.of("leader") if event.error is None]
    changes = observed[:1] + [event for last, event in pairwise(observed) if last.value != event.value]
    for event, until in _until_next(changes, end):
        if event.value:
            replica = event.value.get("replica") or replica_of(event.value["holder"])
            yield Span(str(replica), event.seconds, until, f"leads, epoch {event.value['epoch']}")


def _unready(history: History, end: float) -> Iterator[Span]:
    """Spans in which every sample said unready; a reason that changes begins a new one."""
    samples: dict[str, list[Event]] = defaultdict(list)
    for event in history.of("readiness"):
        samples[str(event.value["replica"])].append(event)
    for replica, events in samples.items():
        changes = events[:1] + [event for last, event in pairwise(events) if _state(last) != _state(event)]
        for event, until in _until_next(changes, end):
            if not event.value["ready"]:
                yield Span(replica, event.seconds, until, f"not ready: {event.value.get('reason')}")


def _state(event: Event) -> tuple[bool, Any]:
    return event.value["ready"], event.value.get("reason")


def _starts(history: History) -> Iterator[Span]:
    for event in history.of("startup"):
        took = event.value.get("ready_after_seconds")
        words = (
            f"failed to start: {event.value.get('failed')}" if took is None else f"ready {took:.1f} s after its start"
        )
        yield Span(str(event.value["replica"]), max(0.0, event.seconds - (took or 0.0)), event.seconds, words)


def _faults(history: History, end: float) -> Iterator[FaultWindow]:
    faults = history.of("fault", process=NEMESIS)
    healed = {event.value["id"]: event for event in history.of("heal", "ok", process=NEMESIS)}
    results = {event.value["id"]: event for event in faults if event.type != "invoke" and event.value}
    for number, event in enumerate((event for event in faults if event.type == "invoke"), 1):
        id_ = event.value["id"]
        result, heal = results.get(id_), healed.get(id_)
        failed = result is not None and result.type == "fail"
        if result is None:
            proof = "nobody knows whether it took effect"
        else:
            proof = f"did not take effect: {result.error}" if failed else _words(result.value.get("proof"))
        stop = result.seconds if failed and result else heal.seconds if heal else end
        yield FaultWindow(
            number=number,
            name=str(event.value["fault"]),
            class_=str(event.value.get("class", "")),
            start=event.seconds,
            end=stop,
            took_effect=None if result is None else not failed,
            proof=proof,
        )


def _phases(history: History) -> list[Event]:
    return history.of("phase")


def _until_next(events: Iterable[Event], end: float) -> Iterator[tuple[Event, float]]:
    """Each event with the time of the one behind it."""
    events = list(events)
    ends = [event.seconds for event in events[1:]] + [end]
    return zip(events, ends, strict=False)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(part)}" for key, part in value.items())
    return "" if value is None else str(value)

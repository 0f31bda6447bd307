"""The record of a run: what was asked, what was answered, what was broken, what was seen. One JSON object a line.

The events are those of Jepsen's histories: an operation is an `invoke`, followed by `ok` (it happened), `fail` (it
did not happen) or `info` (nobody knows) of the same process and function. Faults and observations are events too,
of the processes "nemesis" and "observer", so that one file tells the whole run.

| process    | f           | type and value                                                                   |
|------------|-------------|----------------------------------------------------------------------------------|
| "run"      | run         | info {scenario, trial, seed, target, timing: {...}, versions: {...}, command}     |
| "run"      | not begun   | info: error, where the deployment was not whole before the run                   |
| "run"      | phase       | info "load", "faults", "heal", "recover", "final reads"                           |
| a number   | read        | invoke {path, intended_ns}; ok {status, replica}; fail/info: error                |
| a number   | write       | invoke {value, intended_ns}; ok {job}                                             |
| a number   | refresh     | invoke {source, content, intended_ns}; ok {job}                                   |
| a number   | read-back   | invoke {value}; ok {found, effects}                                               |
| "nemesis"  | fault, heal | invoke {id, fault, class, at}; ok {..., proof}; fail: error                       |
| "observer" | readiness   | info {replica, ready, reason}                                                     |
| "observer" | leader      | info {epoch, holder, replica, timeline} of the newest open term, or null          |
| "observer" | ticks       | info {replica, loop, done, failed}: counters of /metrics                          |
| "observer" | locks       | info [{pid, holder, granted, waited_seconds, writes}] of the migration lock       |
| "observer" | table       | info {table, columns, rows}: what a table held at the end, in parts               |
| "observer" | checksum    | info {replica, digest}: what a replica served at the end                          |
| "observer" | member      | info {member, asked_ns, role, timeline, lsn, follows} of the database, by its own word |
| "observer" | member write| info {member, asked_ns, timeline}: a write was acknowledged; {member, asked_ns}: not  |
| "observer" | startup     | info {replica, ready_after_seconds}, or {replica, failed}                         |

`at`, `intended_ns` and `asked_ns` count nanoseconds like `Event.time`; times in tables are floats, in seconds since
1970. An observation that could not be made has an error and says nothing else but of whom: a `leader` event without
one and with null means that nobody leads. A timeline is that of the database's primary which said so.
"""

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

Type = Literal["invoke", "ok", "fail", "info"]
TYPES: tuple[Type, ...] = ("invoke", "ok", "fail", "info")
NEMESIS, OBSERVER, RUN = "nemesis", "observer", "run"


class HistoryError(Exception):
    """The file is not a history: the message names the line and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `time` counts nanoseconds of the recorder's monotonic clock since the history began; `wall` is
    the recorder's wall clock in seconds since 1970, for people and for joining with database times."""

    index: int
    type: Type
    process: int | str
    f: str
    value: Any
    time: int
    wall: float
    error: str | None = None

    @property
    def seconds(self) -> float:
        return self.time / 1e9


@dataclass(frozen=True, slots=True)
class Operation:
    """An invocation and its completion; None where the run ended first, which is as unknown as `info`."""

    invoke: Event
    completion: Event | None

    @property
    def intended_seconds(self) -> float:
        """When the request was meant to start: in an open model a stall is seen by all that should have come then."""
        intended_ns = (self.invoke.value or {}).get("intended_ns")
        return self.invoke.seconds if intended_ns is None else float(intended_ns) / 1e9

    @property
    def outcome(self) -> Literal["ok", "fail", "info"]:
        return "info" if self.completion is None or self.completion.type == "invoke" else self.completion.type


class History(Sequence[Event]):
    """Events in the order in which they were recorded. Immutable: checkers get this and nothing else."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = tuple(events)

    def __getitem__(self, index: Any) -> Any:
        return self._events[index]

    def __len__(self) -> int:
        return len(self._events)

    def of(self, f: str, *types: Type, process: int | str | None = None) -> list[Event]:
        """The events of a function; of all types unless some are named."""
        return [
            event
            for event in self._events
            if event.f == f and (not types or event.type in types) and (process is None or event.process == process)
        ]

    def operations(self, *fs: str) -> list[Operation]:
        """Invocations of the functions with their completions, in the order of the invocations."""
        open_: dict[tuple[int | str, str], Event] = {}
        completions: dict[int, Event] = {}
        invokes = []
        for event in self._events:
            if event.f not in fs:
                continue
            key = (event.process, event.f)
            if event.type == "invoke":
                open_[key] = event
                invokes.append(event)
            elif key in open_:
                completions[open_.pop(key).index] = event
        return [Operation(invoke, completions.get(invoke.index)) for invoke in invokes]

    def parts(self, table: str) -> list[Event]:
        """The events that tell what the table held at the end."""
        return [event for event in self.of("table") if event.value["table"] == table]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """What a table held at the end of the run: the parts of its `table` events put together."""
        return [
            dict(zip(event.value["columns"], row, strict=True))
            for event in self.parts(table)
            for row in event.value["rows"]
        ]

    def saw(self, table: str) -> bool:
        """Whether the table could be read at the end."""
        parts = self.parts(table)
        return bool(parts) and all(event.error is None for event in parts)

    @property
    def run(self) -> dict[str, Any]:
        """What the run was: scenario, seed, target, timing."""
        described = self.of("run")
        return dict(described[0].value) if described else {}


class Recorder:
    """Appends events to a file, each as soon as it happens. Safe to use from several threads.

    Crash-safe: a line is handed to the operating system before `record` returns, so a killed run leaves a history
    that can be judged; only a last line that was cut short is dropped by `read_history`.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: TextIO = path.open("x", encoding="utf-8", buffering=1)
        self._lock = threading.Lock()
        self._began_ns = time.monotonic_ns()
        self._next = 0
        self._events: list[Event] = []

    def now_ns(self) -> int:
        """Nanoseconds since the history began: the clock of `Event.time` and of `intended_ns`."""
        return time.monotonic_ns() - self._began_ns

    def record(self, type_: Type, process: int | str, f: str, value: Any = None, error: str | None = None) -> Event:
        with self._lock:
            event = Event(self._next, type_, process, f, value, self.now_ns(), time.time(), error)
            self._next += 1
            self._events.append(event)
            self._file.write(to_line(event))
        return event

    def history(self) -> History:
        """What was recorded so far."""
        with self._lock:
            return History(self._events)

    def close(self) -> None:
        self._file.close()


def to_line(event: Event) -> str:
    fields = asdict(event)
    if event.error is None:
        del fields["error"]
    return json.dumps(fields, separators=(",", ":"), default=str) + "\n"


def read_history(path: Path) -> History:
    """Raises `HistoryError`."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise HistoryError(f"{path} can not be read: {error.strerror}") from error
    if lines and lines[-1]:  # no newline behind it: the recorder was killed while it wrote
        lines.pop()
    return History(list(_parse(path, lines)))


def _parse(path: Path, lines: list[str]) -> Iterator[Event]:
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            fields = json.loads(line)
            event = Event(**fields)
        except (ValueError, TypeError) as error:
            raise HistoryError(f"{path}, line {number} is not an event: {error}") from error
        if event.type not in TYPES:
            raise HistoryError(f"{path}, line {number}: the type is {event.type!r}, expected one of {TYPES}")
        yield event

"""What is recorded of a catalog server outside of its database, in words that people and tools can read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

_NUMBER = re.compile(r"[0-9]{1,18}")  # an epoch of more digits would not fit into the database


class Phase(StrEnum):
    """How far the catalog has come."""

    BOOTSTRAP = "BOOTSTRAP"  # sources are not reconciled with their file yet, or one was never read
    OPERATIONAL = "OPERATIONAL"


@dataclass(frozen=True)
class State:
    """What a leader knows of the whole. Two states are equal if they say the same, whenever they were written."""

    phase: Phase
    epoch: int
    schema_version: int
    server_version: str
    written_at: datetime = field(compare=False)  # by the database clock

    def render(self) -> dict[str, str]:
        """As a ConfigMap keeps it."""
        return {
            "phase": str(self.phase),
            "epoch": str(self.epoch),
            "schemaVersion": str(self.schema_version),
            "serverVersion": self.server_version,
            "timestamp": self.written_at.isoformat(timespec="milliseconds"),
        }


KEYS = ("phase", "epoch", "schemaVersion", "serverVersion", "timestamp")


@dataclass(frozen=True)
class Recorded:
    """What was found: at most one of `state` and `problem`; neither where nothing was recorded."""

    state: State | None = None
    problem: str | None = None  # why it can not be understood, naming key and value
    version: Any = field(default=None, repr=False)  # the store's own token for compare-and-swap


class StateStore(Protocol):
    """Where the state is recorded. Calls raise one of `UNAVAILABLE`."""

    name: str

    async def get(self) -> Recorded:
        """What is recorded now."""

    async def write(self, state: State, expected: Recorded) -> None:
        """Replaces what was found; raises `ObjectChanged` if it is not what is recorded any more."""

    async def close(self) -> None:
        """Gives back what the store opened for itself."""


class MalformedState(ValueError):
    """Names every key whose value can not be understood."""


def parse_state(data: Mapping[str, str]) -> State | None:
    """The recorded state; None where no key of it is there. Raises `MalformedState`."""
    if not any(key in data for key in KEYS):
        return None
    phase, epoch, schema_version, server_version, timestamp = (data.get(key, "") for key in KEYS)
    written_at = _time(timestamp)
    problems = [
        f"{key} = {data.get(key)!r} is not {wanted}"
        for key, is_good, wanted in (
            ("phase", phase in tuple(Phase), " or ".join(Phase)),
            ("epoch", _NUMBER.fullmatch(epoch), "a whole number"),
            ("schemaVersion", _NUMBER.fullmatch(schema_version), "a whole number"),
            ("serverVersion", server_version, "a version"),
            ("timestamp", written_at, "a time in ISO 8601"),
        )
        if not is_good
    ]
    if problems or written_at is None:
        raise MalformedState(", ".join(problems))
    return State(Phase(phase), int(epoch), int(schema_version), server_version, written_at)


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None

"""Every event that a scenario waits for, by name, with the longest that it may take.

`E2E_STRETCH=3` in the environment gives a slow machine three times as long. The waits bound how long a test hangs;
what must be fast is measured by the verification, from the clients' own ledger.
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

SECONDS: Mapping[str, float] = {
    "cluster created": 900,
    "images built": 900,
    "chart deployed": 600,
    "replicas ready": 180,
    "rollout finished": 300,
    "leader elected": 90,
    "leader changed": 90,
    "round of the leader written": 60,
    "pod gone": 120,
    "state recorded": 60,
    "node drained": 180,
    "node ready": 180,
    "catalog served": 60,
    "autoscaler idle": 240,
    "replicas added": 120,
    "replicas taken away": 240,
    "members streaming": 240,
    "primary changed": 120,
    "fifty writes": 120,
    "verdict": 1200,
}
POLL_SECONDS = 0.25

Seen = TypeVar("Seen")


class NotSeen(AssertionError):
    """The event did not come in time; the message says what was seen instead."""


def longest(event: str) -> float:
    """In seconds, stretched."""
    return SECONDS[event] * float(os.environ.get("E2E_STRETCH", "1"))


def until(event: str, look: Callable[[], Seen | None]) -> Seen:
    """Looks until it returns something true, and returns that. An exception of `look` counts as not seen yet."""
    give_up_at = time.monotonic() + longest(event)
    while True:
        amiss: object = "nothing"
        try:
            if seen := look():
                return seen
        except Exception as error:
            amiss = error
        if time.monotonic() > give_up_at:
            raise NotSeen(f"{event}: not seen within {longest(event):g} s; the last look gave {amiss}")
        time.sleep(POLL_SECONDS)

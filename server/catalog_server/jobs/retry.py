"""When a failed job runs again: exponential backoff with full jitter between half and the whole pause."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Pauses in seconds: `base_seconds` after the first attempt, doubling up to `max_seconds`."""

    base_seconds: float = 1.0
    max_seconds: float = 300.0
    draw: Callable[[], float] = random.random

    def pause_seconds(self, attempt: int) -> float:
        """The pause after the given attempt (1 for the first), between half and the whole of its bound."""
        bound = min(self.max_seconds, self.base_seconds * 2 ** min(attempt - 1, 60))
        return float(bound * (0.5 + 0.5 * self.draw()))

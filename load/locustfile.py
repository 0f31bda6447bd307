"""What Locust runs: the users, the shape, and the gate. Start it with `python -m load SHAPE`."""

import os
from pathlib import Path
from typing import Any

from locust import LoadTestShape, events
from tabulate import tabulate

from load.objectives import Measured, judge, read_objectives
from load.shapes import SPAWN_PER_SECOND, users_at
from load.users import CatalogUser

SHAPE = os.environ["LOAD_SHAPE"]
TOTAL_SECONDS = float(os.environ["LOAD_SECONDS"])
OBJECTIVES = read_objectives(Path(os.environ["LOAD_OBJECTIVES"]), SHAPE)

__all__ = ["CatalogUser", "Shape"]


class Shape(LoadTestShape):
    """The one that was asked for."""

    def tick(self) -> tuple[int, float] | None:
        users = users_at(SHAPE, self.get_run_time(), TOTAL_SECONDS)
        return None if users is None else (users, SPAWN_PER_SECOND)


@events.quitting.add_listener
def gate(environment: Any, **_: Any) -> None:
    """Sets the exit code, which is the verdict."""
    total = environment.stats.total
    measured = Measured(
        requests=total.num_requests,
        failures=total.num_failures,
        seconds=(total.last_request_timestamp or 0) - total.start_time,
        p95_seconds=(total.get_response_time_percentile(0.95) or 0) / 1000,
        p99_seconds=(total.get_response_time_percentile(0.99) or 0) / 1000,
    )
    rows = judge(OBJECTIVES, measured)
    shown = [(row.objective, f"{row.measured:.4g}", f"{row.bound:g}", "met" if row.met else "MISSED") for row in rows]
    print(f"\n{SHAPE}: {measured.requests} requests in {measured.seconds:.0f} s, {measured.failures} failed\n")
    print(tabulate(shown, ["objective", "measured", "bound", ""], disable_numparse=True))
    is_met = all(row.met for row in rows)
    print(f"\nVerdict: {'PASS' if is_met else 'FAIL'}")
    environment.process_exit_code = 0 if is_met else 1

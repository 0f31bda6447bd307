"""A lease's expiry is judged by comparing this replica's wall clock with the time of the last renewal.

A replica whose wall clock is ahead takes the lease from a leader that renews it in time.
"""

from catalog_server.leadership import Elector
from catalog_server.leadership.database_lease import DatabaseLease
from chaos.sabotage.editing import edit

SCENARIO = "clock-jump"
CLAIM = "one-leader"


def apply() -> None:
    edit(
        DatabaseLease.get,
        ("duration_seconds, version FROM", "duration_seconds, version, extract(epoch FROM renewed_at) AS renewed FROM"),
        (
            "return LeaseRecord(row.holder, row.epoch, row.duration_seconds, row.version) if row else None",
            "self.renewed_wall = float(row.renewed) if row else 0.0\n"
            "        return LeaseRecord(row.holder, row.epoch, row.duration_seconds, row.version) if row else None",
        ),
    )
    edit(
        Elector._is_free,
        (
            "return self._clock.monotonic() >= self._free_at",
            "return time.time() >= self._backend.renewed_wall + record.duration_seconds",
        ),
    )

"""What is pending is read before the migration lock is taken, and not again under it.

A replica that waited for the lock applies what another has applied in the meantime.
"""

from catalog_server.migrations import Runner
from chaos.sabotage.editing import edit

SCENARIO = "cold-start"
CLAIM = "migrations-once"


def apply() -> None:
    edit(
        Runner.upgrade,
        ("if not self._accepted(database).pending:", "if not (pending := self._accepted(database).pending):"),
        ("            pending = self._accepted(database).pending\n", ""),
    )

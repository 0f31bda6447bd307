"""What is pending is read before the migration lock is taken, and not again under it.

A replica that waited for the lock applies what another has applied in the meantime. There is 0.5 s between the two, and
every version takes 0.5 s longer, to widen the window.
"""

from catalog_server.migrations import Runner
from chaos.sabotage import windows
from chaos.sabotage.editing import edit

SCENARIO = "cold-start"
CLAIM = "migrations-once"


def apply() -> None:
    edit(
        Runner.upgrade,
        ("if not self._accepted(database).pending:", "if not (pending := self._accepted(database).pending):"),
        (
            "        self._refuse_unsuitable(database)\n",
            "        self._refuse_unsuitable(database)\n        self._stopped.wait(0.5)\n",
        ),
        ("            pending = self._accepted(database).pending\n", ""),
    )
    windows.in_migrations()

"""The leader's loops go on when the lease is lost; only the fence holds them off, once there is a successor.

A leader that is cut off from the database goes on trying, beside its successor, where it should have stopped.
"""

from catalog_server.leadership import Elector
from chaos.sabotage.editing import edit

SCENARIO = "partition"
CLAIM = "loops-stop"


def apply() -> None:
    edit(Elector._end_term, ("        loops.cancel()\n", ""))

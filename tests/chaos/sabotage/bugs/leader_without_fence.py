"""The leader's transactions do not check their epoch: a leader that was paused and succeeded still writes.

Every round takes 50 ms before it writes; each loop that was paused in mid-round, or wakes with its round due, writes
before it is ended.
"""

from catalog_server.leadership import Fence
from chaos.sabotage.editing import edit

SCENARIO = "paused-zombies"
CLAIM = "fenced"


def apply() -> None:
    edit(Fence.check, ("    if epoch != term.epoch:", "    if False:"))

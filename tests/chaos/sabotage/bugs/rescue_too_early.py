"""The rescuer takes back claims whose lease has not run out: whatever is running when it looks.

A live worker loses its job to another while it is at work. Every effect is held back for 0.3 s, so that some are
running whenever the rescuer looks.
"""

from catalog_server.jobs.queue import Queue
from chaos.sabotage import windows
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "claims-exclusive"


def apply() -> None:
    edit(Queue.rescue, (" AND claim_expires_at < {dialect.now}", ""))
    windows.before_effects()

"""The rescuer discards stale claims of kinds that it does not know, as an older server would know fewer.

It knows `refresh` only, so any other job whose worker died is lost. Every effect is held back for 0.3 s, so that a
kill hits a running job.
"""

from catalog_server.jobs.queue import Queue
from chaos.sabotage import windows
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "jobs-finish"

_DISCARD = """
        session.execute(
            f"DELETE FROM jobs WHERE kind <> 'refresh' AND state = 'running' AND claim_expires_at < {dialect.now}"
        )
        stale = session.rows("""


def apply() -> None:
    edit(Queue.rescue, ("\n        stale = session.rows(", _DISCARD))
    windows.before_effects()

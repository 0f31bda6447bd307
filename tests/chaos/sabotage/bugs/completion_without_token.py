"""A completion matches the job by its id alone, not by state and claim token.

A worker that was paused until its claim had been rescued commits its effect all the same, beside that of the worker
that took over. Every effect is held back for 0.3 s, so that a pause falls into the window more often.
"""

from catalog_server.jobs.queue import Queue
from chaos.sabotage import windows
from chaos.sabotage.editing import edit

SCENARIO = "paused-zombies"
CLAIM = "effects-once"

_BY_ID = '''
    session.execute(
        """
        WITH ended AS (
            UPDATE jobs SET state = 'completed', finished_at = clock_timestamp(), claim_expires_at = NULL
            WHERE id = ANY(%(ids)s) RETURNING claim_token, id, attempt, worker_id, claimed_at
        )
        INSERT INTO job_attempts (token, job_id, attempt, worker_id, outcome, claimed_at, finished_at)
        SELECT claim_token, id, attempt, worker_id, 'completed', claimed_at, clock_timestamp() FROM ended
        ON CONFLICT DO NOTHING
        """,
        ids=[claim.job.id for claim in claims],
    )
    return {claim.token for claim in claims}
'''


def apply() -> None:
    edit(Queue.complete, ("\n    return self._end(", f"{_BY_ID}    self._end("))
    windows.before_effects()

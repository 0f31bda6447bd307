"""The life of a job: enqueue, claim, heartbeat, completion, retry, rescue, ledger.

Authority: `Queue` holds the only SQL on jobs; `Worker` decides what runs when in this process; `Rescuer` takes
back what silent workers held.

Guarantees:
* A job's effect happens exactly once: it commits in the same transaction as the completion, and the completion
  matches id, state and claim token. The attempt, up to the effect, may be repeated after a crash.
* No job is lost: one whose worker died, was paused or lost the database runs again after its claim expired.
  One that fails, or kills its workers, `max_attempts` times is kept as dead, and can be retried.
* The ledger (`job_attempts`) has one row for every claim that ended, and says how.
* Jobs of kinds that no worker knows stay in the queue.

Non-guarantees:
* Effects outside of the database (a request to somebody else) may happen more than once.
* Order: jobs run by priority and time, but beside each other.
* A wake-up may be missed; the job is then found by the next poll.
"""

from catalog_server.jobs.handler import Effect, Handler
from catalog_server.jobs.job import STATES, Attempt, Claim, Job, Outcome, State
from catalog_server.jobs.listener import Listener
from catalog_server.jobs.queue import Queue, StaleClaim
from catalog_server.jobs.rescuer import Rescuer
from catalog_server.jobs.retry import RetryPolicy
from catalog_server.jobs.worker import Worker

__all__ = [
    "STATES",
    "Attempt",
    "Claim",
    "Effect",
    "Handler",
    "Job",
    "Listener",
    "Outcome",
    "Queue",
    "Rescuer",
    "RetryPolicy",
    "StaleClaim",
    "State",
    "Worker",
]

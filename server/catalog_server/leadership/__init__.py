"""Who is leader, for how long it may believe so, and the epoch that fences its writes.

Authority: only this package decides leadership. `Elector` competes for a lease kept by a `LeaseBackend` (a
table of the database, or a Kubernetes Lease); `Fence` keeps the epoch in the database.

Guarantees:
* At most one replica trusts a term at any time, as long as each has an identity of its own, monotonic clocks
  differ over one lease by less than `Timing.margin_seconds`, and nobody deletes or changes the lease by hand.
  After that two may trust theirs, until the older one looks again or its trust runs out; only the newer can write.
* Epochs only grow, in the order in which the lease was won, also if the lease is deleted by hand, an answer
  is lost, or a winner is paused before it took its epoch.
* Whatever happens to clocks, a transaction guarded by a term's epoch commits only while no later epoch is
  taken.
* A leader that stops in an orderly way ends its loops before it releases the lease.

Non-guarantees:
* Trust is not mutual exclusion: a process may be paused right after it looked. Only guarded transactions are
  safe; effects outside of the database may overlap around a change of leader.
* A machine that was suspended does not notice how long: CLOCK_MONOTONIC stands still meanwhile, so a leader on it
  goes on trusting a term that others have succeeded, until it looks at its lease. Only the fence protects then.
* There are times without a leader: up to the lease duration plus a retry period after a leader vanished.
* A leader that reaches its lease but not the database keeps the lease, without effect (Kubernetes backend).
* Epochs are as durable as the database: a fail-over to a standby that lags, or a restored backup, may lose them.
  The Kubernetes backend keeps the last one in the lease as well.
"""

from catalog_server.leadership.election import Election, make_backend
from catalog_server.leadership.elector import Elector
from catalog_server.leadership.fence import Fence, Fenced, Leader, read_leader
from catalog_server.leadership.lease import Conflict, LeaseBackend, LeaseRecord
from catalog_server.leadership.term import Term
from catalog_server.leadership.timing import Timing

__all__ = [
    "Conflict",
    "Election",
    "Elector",
    "Fence",
    "Fenced",
    "Leader",
    "LeaseBackend",
    "LeaseRecord",
    "Term",
    "Timing",
    "make_backend",
    "read_leader",
]

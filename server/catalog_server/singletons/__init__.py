"""Loops that only the leader runs.

Authority: when cleanup, scheduling, watching of the sources file and recording of the state happen. What they do to
jobs and to the catalog is decided by `jobs.queue` and `catalog.store`.

Guarantees:
* A loop runs only inside a term, and every transaction of a loop checks the term's epoch in that same
  transaction: a leader that was paused and replaced can not write (`Fenced`).
* A failed round is logged and counted, and the next one is tried; one loop's failure does not stop another.

Non-guarantees:
* Rounds are not evenly spaced: a change of leader delays the next one by up to the lease duration.
* Work outside of the database (reading the sources file) may happen on two replicas at once around a change
  of leader; only its effect is fenced. The state in a ConfigMap is ordered by its own compare-and-swap.
"""

from catalog_server.singletons.loop import Loop, run_loops

__all__ = ["Loop", "run_loops"]

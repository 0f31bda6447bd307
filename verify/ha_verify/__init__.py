"""Shows whether a deployment survives: workloads and faults are recorded in a history, and the history is judged.

Authority: what is claimed (`claims`), and whether a recorded run upholds it (`checkers`, `verdict`).

Guarantees:
* Doing and judging never mix. Scenarios write a history; checkers are pure functions over one. Whoever has the
  file can judge it again, without the deployment.
* An answer that was lost is neither a success nor a failure: its operation ends as `info`, and no checker takes
  it for either.
* A claim that was never tried is not upheld: it is inconclusive.

Non-guarantees:
* Zero violations in N trials bound the rate of violations (see `findings`), they do not make it zero.
* Nothing is said about faults that were not injected, nor about machines other than the one the run was on.

The server is seen as its users see it, by HTTP, SQL and processes; `catalog_server` is never imported.
"""

__version__ = "0.1.0"

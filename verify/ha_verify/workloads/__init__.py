"""What clients do while things break, and what is watched meanwhile. Everything goes into the history.

Authority: which answers count as done, not done, or unknown (`client.outcome_of`).

Guarantees:
* An open model: requests start at their intended times, whatever became of those before, and carry that time with
  them. A stall therefore shows in the latency of every request that should have been served during it.
* An operation ends as `fail` only where nothing can have been done; a lost or ambiguous answer to a write is
  `info`, and the process that got it is never used again.
* The observer never stops a run: what it can not see is recorded with the error.

Non-guarantee: a sample tells about its own moment; what comes and goes between two samples is seen only where the
database keeps a record of it.
"""

from ha_verify.workloads.client import Answer, Client, Request
from ha_verify.workloads.observer import Observer
from ha_verify.workloads.reads import Reads
from ha_verify.workloads.refresh import Refreshes
from ha_verify.workloads.schedule import offer
from ha_verify.workloads.writes import Writes, read_back

__all__ = ["Answer", "Client", "Observer", "Reads", "Refreshes", "Request", "Writes", "offer", "read_back"]

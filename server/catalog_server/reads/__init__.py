"""Catalog reads from a standby: a streaming replica of the database, next to the primary.

Authority: this package alone decides whether a read may be answered from the standby. What is read is the caller's
affair; everything else (writes, jobs, leases, migrations, readiness) has the primary's pools and never comes here.

Guarantees:
* A read from the standby sees everything that was committed `staleness_seconds` before the standby was asked, or more.
  Each read looks for itself, on the very connection that then reads. Evidence is a heartbeat that this process wrote
  to the primary and finds on the standby again, timed by its own monotonic clock: a standby that is cut off shows no
  new one, however idle the primary is, and one that follows another timeline never shows it at all.
* A read with a token sees everything that was committed before the token was given out, as long as the primary has it.
* A read that the standby can not answer, for whatever reason, is answered from the primary. After a failure of the
  standby no read tries it until `watch` has found it well again.
* Nothing is written through the standby's connections, even after it was promoted.

Non-guarantees:
* Two reads without a token may go back in time by as much as the bound: one sees the primary, the next the standby.
* The bound says nothing of how long the read itself takes, nor of what is committed meanwhile.
* Writes that a fail-over has lost are lost for their tokens as well; a standby that had received them may show them
  for as long as the bound.
* Where `read_dsn` leads through a pooler that changes servers between two statements, the one that reads may not be
  the one that was looked at.
"""

from catalog_server.reads.position import MalformedToken, Position, Token
from catalog_server.reads.router import Reads
from catalog_server.reads.standby import Standby, Unfit

__all__ = ["MalformedToken", "Position", "Reads", "Standby", "Token", "Unfit"]

"""Connections, pools, deadlines and the differences between PostgreSQL and SQLite.

Authority: only this package opens a database connection. Other rooms receive a `Database` and hand it work.

Guarantees:
* The event loop never blocks on the database: work runs in a fixed set of threads, one connection each, so
  the number of connections is bounded by construction.
* Every call ends at its client-side deadline, whatever the server or the network does. A connection that
  missed a deadline, or broke, is closed and never used again.
* `run` commits each statement by itself; `transaction` commits all or nothing.

Non-guarantees:
* A call that ended at its deadline, or whose connection broke, may or may not have taken effect. Callers
  that write must be able to tell (a claim token, an epoch, a unique key).
* Nothing is retried here, except that a read-write host is looked for when connecting.
"""

from catalog_server.db.database import Database, Session
from catalog_server.db.dialect import Dialect
from catalog_server.db.errors import DatabaseUnavailable, DeadlineExceeded

__all__ = ["Database", "DatabaseUnavailable", "DeadlineExceeded", "Dialect", "Session"]

"""The schema: its versions, who may change it and when.

Authority: only this package changes the schema, and only it says whether a server can run on one.

Guarantees:
* Of all replicas, one at a time changes the schema; each version is applied once, in order, with its row in
  `schema_migrations`. A holder that dies, or is paused or cut off for a minute, loses the lock, and what it
  had begun is rolled back (or, for indexes built concurrently, repeated).
* A version that fails names itself and leaves the schema as it was before it.
* Waits are bounded and say who is waited for, and since when.
* A changed version, a newer schema that this server can not run on, a database that can not be written to and
  an address that leads through a transaction pooler are refused, each with its remedy.
* A downgrade is refused while a running replica needs what it would take away.

Non-guarantees:
* A failed upgrade is not taken back as a whole: versions before the one that failed stay.
* Whether a version is slow, or locks what requests need, is up to its author; waits for table locks are short
  and repeated, so a busy table delays the version, not the requests.
* Downgrades lose the data that only the newer schema had a place for. Back up first.
* A replica that starts while a downgrade runs is not seen by it; with `migrations: auto` it upgrades again.
* On SQLite the lock holds between processes of one machine, not over a network file system.
"""

from catalog_server.migrations.errors import MigrationError
from catalog_server.migrations.runner import Runner, upgrade_to_head
from catalog_server.migrations.status import SchemaStatus, read_status
from catalog_server.migrations.version import Version
from catalog_server.migrations.versions import VERSIONS


def server_head() -> int:
    """Number of the newest schema version this server knows."""
    return len(VERSIONS)


__all__ = [
    "MigrationError",
    "Runner",
    "SchemaStatus",
    "Version",
    "read_status",
    "server_head",
    "upgrade_to_head",
]

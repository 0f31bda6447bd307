"""Migrations are applied without taking the migration lock.

Replicas that start at once change the schema at once, and all but one fail. Every version takes 0.5 s longer, to widen
the window.
"""

from catalog_server.migrations.lock import AdvisoryLock
from chaos.sabotage import windows
from chaos.sabotage.editing import edit

SCENARIO = "cold-start"
CLAIM = "migrations-once"


def apply() -> None:
    edit(AdvisoryLock.try_acquire, ("pg_try_advisory_lock({ADVISORY_KEY})", "true"))
    edit(AdvisoryLock.verify, ("count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND {_IS_OURS}", "true"))
    edit(AdvisoryLock.release, ("pg_advisory_unlock({ADVISORY_KEY})", "true"))
    windows.in_migrations()

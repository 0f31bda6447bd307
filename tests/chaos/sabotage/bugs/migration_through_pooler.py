"""Migrations go through a transaction pooler, and the server does not look whether they do.

The lock stays with the session that it was taken in, which the pooler lends to others: what changes the schema is
mostly another session, without the lock, and others get the lock as well. Every version takes 0.5 s longer, to be seen.

All replicas share the pooler, which runs in whichever of them came first.
"""

import zlib
from contextlib import suppress

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

from catalog_server.db.deadline import deadline
from catalog_server.migrations import runner
from catalog_server.migrations.lock import AdvisoryLock
from chaos.sabotage import windows
from chaos.sabotage.editing import edit
from support.pooler import Pooler

SCENARIO = "cold-start"
CLAIM = "migrations-once"
SESSIONS = 4  # that the pooler has before anybody migrates; with a single one it would lend the same again and again
CONNECT_SECONDS = 5
NAME = "catalog-server/migrations"  # as the server calls its own


def apply() -> None:
    vars(runner)["through_pooler"] = _through_pooler
    edit(runner.Runner._database, ("self._dsn,", "through_pooler(self._dsn),"))
    edit(runner.Runner._refuse_unsuitable, ('database.dialect.name == "postgresql"', "False"))
    edit(AdvisoryLock.verify, ("count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND {_IS_OURS}", "true"))
    edit(AdvisoryLock.release, ("if not session", "if None is session"))
    windows.in_migrations()


def _through_pooler(dsn: str) -> str:
    """The address of the pooler, which is run here unless another replica does."""
    parameters = parse_dsn(dsn)
    port = _port(parameters)
    with suppress(OSError):
        Pooler(int(parameters["port"].split(",")[0]), take="any", port=port)
    address = str(make_dsn(dsn, host="127.0.0.1", port=port))
    for _ in range(SESSIONS):
        with deadline(CONNECT_SECONDS):
            psycopg2.connect(address, application_name=NAME).close()
    return address


def _port(parameters: dict[str, str]) -> int:
    """One that the replicas of a deployment have in common, and those of another do not: their secret decides."""
    return 16000 + zlib.crc32(f"{parameters.get('password')} {parameters['dbname']}".encode()) % 1000

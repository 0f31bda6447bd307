"""Once connected, the server knows no other host of its database address."""

from catalog_server.db.connection import PostgresqlDatabase
from chaos.sabotage.editing import edit

SCENARIO = "switchover-under-load"
CLAIM = "database-recovers"


def apply() -> None:
    edit(PostgresqlDatabase._connect, ("self._hosts = [host, *self._others(host)]", "self._hosts = [host]"))

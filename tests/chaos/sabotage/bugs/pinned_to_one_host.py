"""Of the hosts in its database address the server knows the first one only."""

from catalog_server.db.connection import PostgresqlDatabase
from chaos.sabotage.editing import edit

SCENARIO = "switchover-under-load"
CLAIM = "database-recovers"


def apply() -> None:
    edit(
        PostgresqlDatabase.__init__,
        ("list(zip(hosts, ports, strict=True))", "list(zip(hosts, ports, strict=True))[:1]"),
    )

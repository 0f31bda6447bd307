"""What is made true on the primary, on a real PostgreSQL: roles that can do what they are for, and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
import yaml

from catalog_server.db.deadline import deadline
from support.postgres import PostgresServer
from unit.helm.postgresql_ha.scripts import script

ROLES = {"replicator": "replication", "rewind": "rewind", "monitoring": "monitoring", "catalog": "owner"}


@pytest.fixture
def settle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with script("settle") as module:
        monkeypatch.setattr(module, "PASSWORDS", tmp_path)
        monkeypatch.setattr(module, "CONFIGURATION", tmp_path / "patroni.yaml")
        give_passwords(tmp_path, "first")
        yield module


def give_passwords(folder: Path, word: str) -> None:
    for of in ROLES.values():
        (folder / f"{of}_password").write_text(f"{word}-{of}\n")


@pytest.fixture
def settled(settle: ModuleType, own_postgres: PostgresServer) -> Callable[[], None]:
    """Settles the roles, with whatever passwords there are."""

    def run() -> None:
        with deadline(60), closing(psycopg2.connect(own_postgres.dsn())) as connection:
            connection.autocommit = True
            settle.settle_roles(connection, "catalog", "catalog")

    return run


def query(own_postgres: PostgresServer, statement: str) -> list[tuple[Any, ...]]:
    with deadline(60), closing(psycopg2.connect(own_postgres.dsn())) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def test_roles_can_do_what_they_are_for_and_nothing_else(
    settled: Callable[[], None], own_postgres: PostgresServer
) -> None:
    settled()
    rows = query(
        own_postgres,
        "SELECT rolname, rolreplication, rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls"
        " FROM pg_roles WHERE rolcanlogin AND rolname <> 'postgres'",
    )
    assert {row[0]: row[1:] for row in rows} == {
        role: (role == "replicator", False) for role in ("replicator", "rewind", "monitoring", "catalog")
    }
    functions = query(
        own_postgres,
        "SELECT has_function_privilege('rewind', 'pg_read_binary_file(text)', 'EXECUTE'),"
        " has_function_privilege('catalog', 'pg_read_binary_file(text)', 'EXECUTE'),"
        " pg_has_role('monitoring', 'pg_monitor', 'MEMBER'), pg_has_role('catalog', 'pg_monitor', 'MEMBER')",
    )
    assert functions == [(True, False, True, False)]


def test_the_owner_alone_gets_into_the_database_that_it_owns(
    settled: Callable[[], None], own_postgres: PostgresServer
) -> None:
    settled()
    assert query(own_postgres, "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'catalog'") == [
        ("catalog",)
    ]
    may = "SELECT rolname FROM pg_roles WHERE has_database_privilege(rolname, '{}', 'CONNECT') AND NOT rolsuper"
    logins = " AND rolcanlogin ORDER BY rolname"
    assert query(own_postgres, may.format("catalog") + logins) == [("catalog",)]
    assert query(own_postgres, may.format("postgres") + logins) == [("monitoring",), ("rewind",)]


def test_settling_again_keeps_the_database_and_takes_new_passwords(
    settled: Callable[[], None], own_postgres: PostgresServer, tmp_path: Path
) -> None:
    def verifiers() -> dict[str, str]:
        return dict(query(own_postgres, "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL"))

    settled()
    before, database = verifiers(), query(own_postgres, "SELECT oid FROM pg_database WHERE datname = 'catalog'")
    give_passwords(tmp_path, "second")
    settled()
    assert query(own_postgres, "SELECT oid FROM pg_database WHERE datname = 'catalog'") == database
    assert verifiers().keys() == ROLES.keys()
    assert all(text.startswith("SCRAM-SHA-256$") for text in verifiers().values())
    assert not set(before.values()) & set(verifiers().values())


def test_passwords_are_in_no_statement(settle: ModuleType, own_postgres: PostgresServer) -> None:
    """The server could log one."""
    statements: list[str] = []

    class Recording(psycopg2.extensions.cursor):
        def execute(self, statement: Any, values: Any = None) -> None:
            statements.append(statement if isinstance(statement, str) else statement.as_string(self))
            super().execute(statement, values)

    with deadline(60), closing(psycopg2.connect(own_postgres.dsn(), cursor_factory=Recording)) as connection:
        connection.autocommit = True
        settle.settle_roles(connection, "catalog", "catalog")
    assert [each for each in statements if "PASSWORD" in each]
    assert not [each for each in statements if "first-" in each]


class Api:
    """Patroni's, with the configuration that it has."""

    def __init__(self, present: dict[str, Any], status: int = 200) -> None:
        self.present = present
        self._status = status
        self.puts = 0

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        assert path == "/config"
        return 200, self.present

    def order(self, method: str, path: str, document: dict[str, Any], *, timeout_seconds: float) -> tuple[int, str]:
        assert (method, path) == ("PUT", "/config")
        self.puts += 1
        if self._status == 200:
            self.present = document
        return self._status, "answer"


def describe(settle: ModuleType, **configuration: Any) -> None:
    settle.CONFIGURATION.write_text(yaml.safe_dump({"bootstrap": {"dcs": configuration}}))


def test_the_configuration_becomes_what_the_chart_says(settle: ModuleType) -> None:
    describe(settle, ttl=20, postgresql={"parameters": {"work_mem": "8MB"}})
    api = Api({"ttl": 30, "postgresql": {"parameters": {"work_mem": "4MB", "gone": 1}}})
    settle.settle_configuration(api)
    assert api.present == {"ttl": 20, "postgresql": {"parameters": {"work_mem": "8MB"}}}
    settle.settle_configuration(api)
    assert api.puts == 1


def test_a_pause_is_the_operator_s_to_end(settle: ModuleType) -> None:
    describe(settle, ttl=20)
    api = Api({"ttl": 20, "pause": True})
    settle.settle_configuration(api)
    assert api.puts == 0
    describe(settle, ttl=25)
    settle.settle_configuration(api)
    assert api.present == {"ttl": 25, "pause": True}


def test_a_configuration_that_is_not_taken_is_told(settle: ModuleType) -> None:
    describe(settle, ttl=20)
    with pytest.raises(RuntimeError, match="PUT /config: 401 answer"):
        settle.settle_configuration(Api({"ttl": 30}, status=401))


def test_only_the_primary_settles_anything(settle: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any) -> None:
        raise AssertionError("a replica settles something")

    monkeypatch.setattr(settle, "connect", forbidden)
    monkeypatch.setattr(settle.sys, "argv", ["settle.py", "on_role_change", "replica", "db"])
    settle.main()
    monkeypatch.setattr(settle.sys, "argv", ["settle.py", "on_role_change", "master", "db"])
    with pytest.raises(AssertionError):
        settle.main()

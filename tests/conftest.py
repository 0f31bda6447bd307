"""Fixtures shared by every test: a real PostgreSQL for the session, a migrated database cloned per test."""

from collections.abc import Iterator

import pytest

from catalog_server.db import Database
from support.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """The session's server. Tests that pause or restart one, or make roles, have `own_postgres`."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server of the module's own, which its tests may pause, crash and restart, and whose roles are no one else's."""
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> str:
    """Name of a database at the newest schema version, to be cloned."""
    from catalog_server.migrations import upgrade_to_head

    name = postgres.create_database()
    upgrade_to_head(postgres.dsn(name))
    return name


@pytest.fixture
def empty_dsn(postgres: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without a schema."""
    name = postgres.create_database()
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.fixture
def dsn(postgres: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A PostgreSQL database at the newest schema version."""
    name = postgres.create_database(migrated_template)
    yield postgres.dsn(name)
    postgres.drop_database(name)


@pytest.fixture
def sqlite_dsn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A SQLite database at the newest schema version."""
    from catalog_server.migrations import upgrade_to_head

    path = f"sqlite:///{tmp_path_factory.mktemp('sqlite') / 'catalog.db'}"
    upgrade_to_head(path)
    return path


@pytest.fixture(params=["postgresql", "sqlite"])
def any_dsn(request: pytest.FixtureRequest) -> str:
    """The test runs on both database systems."""
    return request.getfixturevalue("dsn" if request.param == "postgresql" else "sqlite_dsn")


@pytest.fixture
def database(dsn: str) -> Iterator[Database]:
    """A pool on the test's PostgreSQL database."""
    yield from _pool(dsn)


@pytest.fixture
def any_database(any_dsn: str) -> Iterator[Database]:
    """A pool on the test's database, on both database systems."""
    yield from _pool(any_dsn)


def _pool(dsn: str) -> Iterator[Database]:
    database = Database(dsn, purpose="test", size=4, deadline_seconds=10, connect_timeout_seconds=5)
    yield database
    database.close_this_thread()
    database.close()

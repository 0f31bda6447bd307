"""catalog-server db, as a person at a terminal uses it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog_server.cli.db import db
from catalog_server.db import Database
from catalog_server.migrations import server_head
from catalog_server.replicas import beat
from support.pooler import Pooler
from support.postgres import PostgresServer


@pytest.fixture(params=["postgresql", "sqlite"])
def fresh_dsn(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'catalog.db'}"
    return request.getfixturevalue("empty_dsn")


def run(dsn: str, *arguments: str) -> Result:
    return CliRunner().invoke(db, arguments, env={"CATALOG_DATABASE_DSN": dsn, "CATALOG_REPLICA_NAME": "desk"})


def test_from_an_empty_database_to_the_newest_schema_and_back(fresh_dsn: str) -> None:
    before = run(fresh_dsn, "check")
    assert before.exit_code == 1
    assert "pending: 0001_initial" in before.stderr
    assert "Run catalog-server db upgrade" in before.stderr

    upgrade = run(fresh_dsn, "upgrade")
    assert upgrade.exit_code == 0
    assert "applying 0001_initial\napplied 0001_initial in " in upgrade.stdout
    assert run(fresh_dsn, "upgrade").stdout == "Nothing to do.\n"
    assert run(fresh_dsn, "check").exit_code == 0

    back = run(fresh_dsn, "downgrade", "-1")
    assert back.exit_code == 0, back.output
    assert json.loads(run(fresh_dsn, "status", "--json").stdout)["current"] == server_head() - 1
    assert run(fresh_dsn, "downgrade", "0").exit_code == 0


def test_status_names_versions_applied_and_pending(fresh_dsn: str) -> None:
    assert "0001_initial  pending" in run(fresh_dsn, "status").stdout
    assert json.loads(run(fresh_dsn, "upgrade", "--json").stdout)["applied"][0] == "0001_initial"
    text = run(fresh_dsn, "status").stdout
    assert "0001_initial  applied" in text
    assert "desk/cli" in text
    data = json.loads(run(fresh_dsn, "status", "--json").stdout)
    assert (data["current"], data["pending"], data["problem"]) == (server_head(), [], None)


def test_a_downgrade_under_a_running_replica_is_refused(any_dsn: str) -> None:
    database = Database(any_dsn, purpose="test", size=1, deadline_seconds=10, connect_timeout_seconds=5)
    with database.session() as session:
        beat(
            session,
            id="a",
            name="replica-1",
            server_version="1",
            schema_head=server_head(),
            url=None,
            ready=True,
        )
    database.close_this_thread()
    result = run(any_dsn, "downgrade", "-1")
    assert result.exit_code == 1
    assert "needed by running replicas: replica-1" in result.stderr
    assert run(any_dsn, "check").exit_code == 0


def test_check_refuses_a_transaction_pooler(postgres: PostgresServer, dsn: str) -> None:
    pooler = Pooler(postgres.port)
    try:
        result = run(dsn.replace(f":{postgres.port}/", f":{pooler.port}/"), "check", "--json")
    finally:
        pooler.stop()
    assert result.exit_code == 1
    assert "CATALOG_MIGRATIONS_DSN" in json.loads(result.stdout)["remedy"]


def test_an_address_where_no_database_answers_is_one_clear_line() -> None:
    result = run("postgresql://nobody@127.0.0.1:1/none", "status")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: 127.0.0.1:1: ")
    assert "Traceback" not in result.output

"""Dumps of the database: what is rendered for them, and the script on a real PostgreSQL, as the owner of a database."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import psycopg2
import psycopg2.extensions
import pytest

from catalog_server.db.deadline import deadline
from support.postgres import BIN, PostgresServer
from unit.helm.chart import Object, Refused, Values, needs_helm
from unit.helm.postgresql_ha.cluster import DOMAIN, DUMPS, NO_TLS, RELEASE, Cluster, render
from unit.helm.postgresql_ha.scripts import script

NAME = f"{RELEASE}-dumps"


def pod(rendered: Cluster) -> Object:
    spec: Object = rendered.get("CronJob", NAME)["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


@needs_helm
def test_there_are_no_dumps_unless_they_are_asked_for() -> None:
    assert not [each for each in render() if each["metadata"]["name"] == NAME]


@needs_helm
def test_a_dump_is_the_owners_and_goes_to_a_volume_that_stays() -> None:
    rendered = render(DUMPS)
    (container,) = pod(rendered)["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["PGHOST"] == f"{RELEASE}-replicas.{DOMAIN},{RELEASE}.{DOMAIN}"
    assert (environment["PGUSER"], environment["PGDATABASE"], environment["PGSSLMODE"]) == (
        *("catalog", "catalog"),
        "verify-full",
    )
    volumes = {each["name"]: each for each in pod(rendered)["volumes"]}
    assert [each["key"] for each in volumes["passwords"]["secret"]["items"]] == ["owner_password"]
    assert volumes["dumps"]["persistentVolumeClaim"] == {"claimName": NAME}
    claim = rendered.get("PersistentVolumeClaim", NAME)
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}


@needs_helm
def test_the_first_dump_is_taken_at_once_and_another_one_has_another_name() -> None:
    def first(*values: Values) -> Object:
        (job,) = (each for each in render(DUMPS, *values) if each["kind"] == "Job")
        return job

    assert first()["spec"] == render(DUMPS).get("CronJob", NAME)["spec"]["jobTemplate"]["spec"]
    assert first()["metadata"]["name"] == first({"dumps": {"schedule": "@weekly"}})["metadata"]["name"]
    assert first()["metadata"]["name"] != first({"dumps": {"keep": 3}})["metadata"]["name"]


@needs_helm
def test_a_dump_of_a_single_member_is_taken_from_it_and_without_tls_it_asks_for_none() -> None:
    (container,) = pod(render(DUMPS, NO_TLS, {"replicaCount": 1}))["containers"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["PGHOST"] == f"{RELEASE}.{DOMAIN}"
    assert not [name for name in environment if "SSL" in name]


@needs_helm
def test_dumps_are_let_in_to_members_and_to_nobody_else() -> None:
    rendered = render(DUMPS)
    policy = rendered.get("NetworkPolicy", NAME)["spec"]
    assert "ingress" not in policy
    assert [port["port"] for rule in policy["egress"] for port in rule["ports"]] == [53, 53, 5432]
    members = rendered.get("NetworkPolicy")["spec"]["ingress"][0]["from"]
    components = [each["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/component") for each in members]
    assert "dumps" in components


@needs_helm
@pytest.mark.parametrize("dumps", [{"schedule": "daily"}, {"keep": 0}, {"size": "10G"}, {"deadlineSeconds": 1}])
def test_bad_values_are_refused_by_name(dumps: Values) -> None:
    with pytest.raises(Refused, match=next(iter(dumps))):
        render(DUMPS, {"dumps": dumps})


@pytest.fixture
def dump(own_postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, as the owner of a database that holds a table of three rows."""
    database = own_postgres.create_database()
    own_postgres.execute(
        "DO $$ BEGIN CREATE ROLE catalog LOGIN PASSWORD 'secret'; EXCEPTION WHEN duplicate_object THEN END $$;"
        f'ALTER DATABASE "{database}" OWNER TO catalog'
    )
    address = psycopg2.extensions.parse_dsn(own_postgres.dsn(database))
    monkeypatch.setenv("PATH", f"{BIN}:{os.environ['PATH']}")
    for name, value in {
        "HOST": address["host"],
        "PORT": address["port"],
        "DATABASE": database,
        "USER": "catalog",
    }.items():
        monkeypatch.setenv(f"PG{name}", value)
    monkeypatch.setenv("PGPASSWORD", "")  # set by the script, and gone with the test
    monkeypatch.setenv("PGTARGETSESSIONATTRS", "any")
    (tmp_path / "owner_password").write_text("secret\n")
    monkeypatch.setattr(os, "umask", lambda _mask: None)  # it would be that of all tests behind this one
    with script("dump") as module, deadline(60):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
        monkeypatch.setattr(module, "PASSWORD", tmp_path / "owner_password")
        with closing(module.connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT n FROM generate_series(1, 3) AS n")
        yield module


def call(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr("sys.argv", ["dump.py", *arguments])
    module.main()


def kept(module: ModuleType) -> int:
    with closing(module.connect()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM kept")
        return int(cursor.fetchone()[0])


def test_a_dump_brings_back_what_was_deleted(dump: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    call(dump, monkeypatch, "take", "2")
    dump.execute("DELETE FROM kept", "CREATE TABLE newer ()")
    call(dump, monkeypatch, "load", "newest")
    assert kept(dump) == 3
    with pytest.raises(psycopg2.errors.UndefinedTable):
        dump.execute("SELECT FROM newer")


def test_the_newest_stay_and_what_was_interrupted_goes(
    dump: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("catalog-1.dump", "catalog-2.dump", "catalog-3.new"):
        (tmp_path / name).touch()
    database = os.environ["PGDATABASE"]
    call(dump, monkeypatch, "take", "1")
    (left,) = tmp_path.glob("*.dump")
    assert left.name.startswith(database)
    assert not list(tmp_path.glob("*.new"))


def test_what_can_not_be_read_to_its_end_gets_no_name(
    dump: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run = dump.run

    def lose_the_end(*command: str) -> None:
        run(*command)
        for new in tmp_path.glob("*.new"):
            new.write_bytes(new.read_bytes()[:200])

    monkeypatch.setattr(dump, "run", lose_the_end)
    with pytest.raises(SystemExit, match="pg_restore failed"):
        call(dump, monkeypatch, "take", "2")
    assert not list(tmp_path.glob("*.dump"))


@pytest.mark.parametrize("content", [b"", b"PGDMP and no more"])
def test_what_is_no_whole_dump_replaces_nothing(
    dump: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "broken.dump").write_bytes(content)
    with pytest.raises(SystemExit, match="pg_restore failed"):
        call(dump, monkeypatch, "load", "broken.dump")
    assert kept(dump) == 3


def test_where_the_load_fails_what_was_there_is_there_again(dump: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    call(dump, monkeypatch, "take", "2")
    dump.execute("INSERT INTO kept VALUES (4)")
    run = dump.run

    def fail_to_load(*command: str) -> None:
        run(*command)
        if "--single-transaction" in command:
            raise SystemExit("pg_restore failed")

    monkeypatch.setattr(dump, "run", fail_to_load)
    with pytest.raises(SystemExit):
        call(dump, monkeypatch, "load", "newest")
    assert kept(dump) == 4


def test_a_load_that_was_killed_is_undone_by_the_next(dump: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    call(dump, monkeypatch, "take", "2")
    dump.execute(f"ALTER SCHEMA public RENAME TO {dump.ASIDE}", "CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    call(dump, monkeypatch, "load", "newest")
    assert kept(dump) == 3
    with pytest.raises(psycopg2.errors.InvalidSchemaName):
        dump.execute(f"DROP SCHEMA {dump.ASIDE}")


def test_a_name_that_is_no_dump_is_refused_with_those_there_are(
    dump: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"dump = newest: there is no such dump on the volume. There are: none"):
        call(dump, monkeypatch, "load", "newest")
    call(dump, monkeypatch, "take", "2")
    with pytest.raises(SystemExit, match=rf"dump = \.\./x: .* There are: {os.environ['PGDATABASE']}-\S+\.dump"):
        call(dump, monkeypatch, "load", "../x")


def test_one_at_a_time(dump: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit, match="under way"):
            call(dump, monkeypatch, "take", "2")

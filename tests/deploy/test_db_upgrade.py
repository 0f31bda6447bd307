"""What an upgrade of the schema refuses, and that it stops where a follower of the database falls behind."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog_server.migrations import VERSIONS, Version
from deploy.deployment import BIN, load_module, load_module_utils
from deploy.region_at import RegionAt

cluster = load_module_utils("postgresql_cluster")
upgrade = load_module("db_upgrade")

SQL = {"postgresql": "SELECT 1;", "sqlite": "SELECT 1;"}
EXPANDS = Version(number=3, name="expands", oldest_server_head=2, upgrade=SQL, downgrade=SQL)
CONTRACTS = Version(number=3, name="contracts", oldest_server_head=3, upgrade=SQL, downgrade=SQL)

# A migration that writes much, and then never comes to its end; in one piece, so that nothing tells the database that
# its client is gone.
WRITES = """
import psycopg2, sys, time
cursor = psycopg2.connect(sys.argv[1], application_name="catalog-server/migrations").cursor()
cursor.execute("INSERT INTO probes SELECT g::text, now() FROM generate_series(1, 40000) AS g; SELECT pg_sleep(600)")
"""


@pytest.fixture
def region(tmp_path: Path, dsn: str) -> RegionAt:
    return RegionAt(tmp_path, dsn)


@pytest.fixture
def server_at_2(region: RegionAt) -> None:
    region.rows("INSERT INTO replicas VALUES ('1', 'replica-1', '1.0', 2, NULL, true, now(), clock_timestamp())")


@pytest.fixture
def follower(region: RegionAt) -> Iterator[str]:
    """Somebody who follows the database, and has all of it until now."""
    region.rows("CHECKPOINT")  # a slot begins at the last one
    region.rows("SELECT pg_create_physical_replication_slot('follower', true)")
    yield "follower"
    region.rows("SELECT pg_drop_replication_slot('follower')")


@pytest.mark.usefixtures("server_at_2")
def test_running_servers_must_be_able_to_live_with_what_is_pending(region: RegionAt) -> None:
    assert upgrade.plan(region, None, VERSIONS) == []
    assert upgrade.plan(region, None, [*VERSIONS, EXPANDS]) == [EXPANDS]
    with pytest.raises(cluster.Failed, match=r"0003_contracts contracts: .* 0003, and replica-1 know 0002"):
        upgrade.plan(region, None, [*VERSIONS, CONTRACTS])
    region.rows("UPDATE replicas SET last_seen_at = now() - interval '1 hour'")
    assert upgrade.plan(region, None, [*VERSIONS, CONTRACTS]) == [CONTRACTS]


def test_a_second_region_is_migrated_first(region: RegionAt, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upgrade, "slots", lambda _: {"region_1": {}})
    with pytest.raises(cluster.Failed, match="a second region follows, and is migrated first"):
        upgrade.plan(region, None, [*VERSIONS, EXPANDS])
    with pytest.raises(cluster.Failed, match="lacks 0003_expands"):
        upgrade.plan(region, region, [*VERSIONS, EXPANDS])
    region.rows("INSERT INTO schema_migrations VALUES (3, 'expands', 'x', 2, now(), 'test', 1)")
    assert upgrade.refuse_to_go_first(region, [EXPANDS]) is None


def test_what_is_pending_is_applied(tmp_path: Path, empty_dsn: str) -> None:
    command = ["env", f"CATALOG_DATABASE_DSN={empty_dsn}", str(BIN / "catalog-server"), "db", "upgrade", "--json"]
    region = RegionAt(tmp_path, empty_dsn)
    assert upgrade.plan(region, None, VERSIONS) == list(VERSIONS)
    applied, _ = upgrade.apply(region, command, 1 << 40)
    assert applied == [str(version) for version in VERSIONS]
    assert upgrade.plan(region, None, VERSIONS) == []


def test_a_migration_that_followers_do_not_keep_up_with_is_stopped_and_rolled_back(
    region: RegionAt, dsn: str, follower: str
) -> None:
    with pytest.raises(cluster.Failed, match=f"{follower} came to be .* bytes behind, so the migration was stopped"):
        upgrade.apply(region, [sys.executable, "-c", WRITES, dsn], 1 << 20)
    assert not region.rows("SELECT 1 FROM probes LIMIT 1")
    assert not region.rows("SELECT 1 FROM pg_stat_activity WHERE application_name = 'catalog-server/migrations'")
    with pytest.raises(cluster.Failed, match="bytes behind already"):
        upgrade.refuse_to_fall_behind(region, 1 << 20)


def test_a_migration_that_fails_says_why(region: RegionAt) -> None:
    command: Any = [sys.executable, "-c", "import sys; sys.exit('no room')"]
    with pytest.raises(cluster.Failed, match="the schema was not upgraded: no room"):
        upgrade.apply(region, command, 1 << 40)

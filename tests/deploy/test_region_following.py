"""One database that follows another, without the playbooks around it: set up, mended, copied anew, handed over."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from catalog_server.migrations import upgrade_to_head
from deploy.deployment import load_module, load_module_utils
from deploy.region_at import RegionAt
from support.postgres import PostgresServer, wait_until

cluster = load_module_utils("postgresql_cluster")
regions = load_module_utils("regions")
view = load_module_utils("region_view")
subscription = load_module("region_subscription")
promotion = load_module("region_promotion")
forgetting = load_module("region_forget")

SETTINGS = {"wal_level": "logical", "track_commit_timestamp": "on", "wal_retrieve_retry_interval": "100ms"}
GIVEN = {"force": False, "accept_data_loss": False, "number_gap": 1000, "catch_up_seconds": 30}


@pytest.fixture(scope="module")
def servers() -> Iterator[list[PostgresServer]]:
    made = [PostgresServer(settings=SETTINGS) for _ in range(2)]
    yield made
    for server in made:
        server.stop()


class Pair:
    """A first region, and a second one that follows it as soon as it is told to."""

    def __init__(self, servers: list[PostgresServer], folder: Path) -> None:
        dsns = [server.dsn(server.create_database()) for server in servers]
        for dsn in dsns:
            upgrade_to_head(dsn)
        self.first, self.second = (RegionAt(folder / name, dsn) for name, dsn in zip("ab", dsns, strict=True))
        self._address = dsns[0]

    def follow(self, *, copy: bool = False) -> bool:
        """What the playbook does; returns whether anything was otherwise."""
        changed = subscription.publish(self.first, "reader")
        changed |= subscription.follow(self.first, self.second, self._address, copy)
        subscription.wait_until_complete(self.first, self.second, 30)
        return bool(changed)

    def probe(self, value: str) -> None:
        self.first.rows("INSERT INTO probes VALUES (%s, now())", [value])

    def probes(self) -> set[str]:
        return {row["value"] for row in self.second.rows("SELECT value FROM probes")}

    def is_level(self) -> bool:
        sql = "SELECT * FROM probes ORDER BY value"
        return bool(self.first.rows(sql) == self.second.rows(sql))

    def slot(self) -> Any:
        return view.slots(self.first).get(regions.slot_name(self.second))


@pytest.fixture
def pair(servers: list[PostgresServer], tmp_path: Path) -> Iterator[Pair]:
    """Both databases are new; what one test leaves in the servers is taken away after it."""
    made = Pair(servers, tmp_path)
    made.first.rows("CREATE ROLE reader LOGIN REPLICATION")
    yield made
    if view.subscription(made.second) is not None:
        made.second.rows(f"ALTER SUBSCRIPTION {regions.SUBSCRIPTION} DISABLE")
        made.second.rows(f"ALTER SUBSCRIPTION {regions.SUBSCRIPTION} SET (slot_name = NONE)")
        made.second.rows(f"DROP SUBSCRIPTION {regions.SUBSCRIPTION}")
    wait_until(lambda: not (made.slot() or {"active": False})["active"], what="the end of replication")
    forgetting.forget(made.first)
    made.first.rows("DROP OWNED BY reader; DROP ROLE reader")


def test_what_is_there_is_copied_and_a_second_run_changes_nothing(pair: Pair) -> None:
    pair.probe("before")
    assert pair.follow() is True
    pair.probe("after")
    wait_until(pair.is_level, what="the second probe")
    assert pair.follow() is False
    seen = view.View(pair.first, pair.second)
    assert view.find_problems(seen, 1 << 30) == []
    assert seen.is_complete
    assert seen.newest is not None


def test_what_is_not_as_it_should_be_is_mended(pair: Pair) -> None:
    pair.follow()
    pair.first.rows(f"ALTER PUBLICATION {regions.PUBLICATION} DROP TABLE probes")  # as before a migration added it
    pair.second.rows(f"ALTER SUBSCRIPTION {regions.SUBSCRIPTION} REFRESH PUBLICATION")
    pair.second.rows(f"ALTER SUBSCRIPTION {regions.SUBSCRIPTION} DISABLE")
    pair.probe("meanwhile")
    assert pair.follow() is True
    assert pair.probes() == {"meanwhile"}
    assert pair.follow() is False


def test_a_broken_thread_is_told_and_mended_by_a_new_copy_only(pair: Pair) -> None:
    pair.probe("before")
    pair.follow()
    pair.second.rows(f"ALTER SUBSCRIPTION {regions.SUBSCRIPTION} DISABLE")
    wait_until(lambda: not pair.slot()["active"], what="the end of replication")
    pair.first.rows("SELECT pg_drop_replication_slot(%s)", [regions.slot_name(pair.second)])  # as by a failover there
    pair.first.rows("DELETE FROM probes")
    pair.probe("missed")
    with pytest.raises(cluster.Failed, match=r"changes are missing here. Copy all anew"):
        pair.follow()
    assert "copy all anew" in view.find_problems(view.View(pair.first, pair.second), 0)[-1]
    assert pair.probes() == {"before"}
    pair.follow(copy=True)
    assert pair.probes() == {"missed"}


def test_a_set_up_that_was_interrupted_is_repeated(pair: Pair) -> None:
    name = regions.slot_name(pair.second)
    pair.first.rows("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
    assert pair.follow() is True


def test_a_planned_promotion_loses_nothing_and_leaves_nothing_behind(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair.second.cluster, "the_primary", lambda: SimpleNamespace(write=lambda _: None))
    (pair.second.state_dir / "config").mkdir(parents=True)
    pair.second.note.write(state="second", first_region=str(pair.first.state_dir))
    pair.follow()
    pair.probe("last")
    # As a run that was interrupted leaves it.
    pair.second.rows(f"ALTER SUBSCRIPTION {regions.SUBSCRIPTION} DISABLE")
    promotion.promote(pair.first, pair.second, GIVEN)
    assert pair.probes() == {"last"}
    assert view.subscription(pair.second) is None
    assert pair.slot() is None
    note = pair.second.note.read()
    assert note["rows"]["probes"] == 1
    assert "Nothing is lost" in promotion.report(pair.first, note)
    pair.probe("too late")
    assert "Lost are 1 rows that were written in the first region after that: 1 in probes." in promotion.report(
        pair.first, note
    )

"""What the playbooks decide about members that Patroni runs: when they wait, what they refuse, whom they ask."""

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.deployment import load_module, load_module_utils

cluster = load_module_utils("postgresql_cluster")
view = load_module_utils("postgresql_view")
failover = load_module("postgresql_failover")
halt = load_module("postgresql_halt")
store = load_module("patroni_store")
switchover = load_module("postgresql_switchover")

NAMES = ("postgresql", "postgresql-2", "postgresql-3")
NOW = 1_000_000.0
LEADER: dict[str, Any] = {"role": "primary", "state": "running", "dcs_last_seen": NOW}
REPLICA: dict[str, Any] = {
    "role": "replica",
    "state": "running",
    "replication_state": "streaming",
    "dcs_last_seen": NOW,
}
STANDBY: dict[str, Any] = REPLICA | {"sync_standby": True}


class StandInPatroni:
    """Says what it was given, and remembers in `orders` of them all what it was told."""

    def __init__(self, name: str, said: dict[str, Any] | None, orders: list[tuple[str, str, Any]]) -> None:
        self._name, self.said, self._orders = name, said, orders
        self.refusal: str | None = None

    def status(self) -> dict[str, Any] | None:
        return self.said

    def leads(self) -> bool:
        return (self.said or {}).get("role") == "primary"

    def order(self, method: str, path: str, document: Any, *, seconds: float) -> str | None:
        self._orders.append((self._name, path, document))
        return self.refusal


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Three members on disk; the first leads, the second is its synchronous standby; none runs."""
    for folder in ("config/programs", "run", "postgresql"):
        (tmp_path / folder).mkdir(parents=True)
    settings = {"synchronous_mode": True, "synchronous_node_count": 1}
    (tmp_path / "config" / "cluster.yml").write_text(json.dumps(settings))
    for number, name in enumerate(NAMES):
        (tmp_path / "config" / "programs" / f"{name}.conf").write_text("command = patroni x\n")
        address = f"127.0.0.1:{7001 + number}"
        api = {"connect_address": address, "authentication": {"username": "u", "password": "p"}}
        server = {"listen": f"127.0.0.1:{6001 + number}", "bin_dir": "/bin"}
        (tmp_path / "config" / f"{name}.yml").write_text(json.dumps({"restapi": api, "postgresql": server}))
    made = cluster.Cluster(tmp_path)
    made.orders = []
    for member, said in zip(made.members, (LEADER, STANDBY, REPLICA), strict=True):
        member.patroni = StandInPatroni(member.name, said, made.orders)
        monkeypatch.setattr(member, "write", lambda seconds: None)
    monkeypatch.setattr(view.time, "time", lambda: NOW)
    return made


def seen(made: Any, *gone: str) -> list[Any]:
    views = []
    for member in made.members:
        standby = not member.patroni.leads()
        views.append(
            SimpleNamespace(
                member=member,
                patroni=member.patroni.said,
                standby=None if member.name in gone else standby,
                writable=not standby and member.name not in gone,
                problem="refused" if member.name in gone else None,
                timeline=1,
                lsn=100,
                progress=(1, 100, -member.number),
                successors=set() if standby else {NAMES[1]},
                followers={} if standby else {name: {"sync_state": "sync", "replay_seconds": 0} for name in NAMES[1:]},
            )
        )
    return views


def lose_the_leader(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not answer, and is not replaced until somebody is told to take over."""
    made.members[0].patroni.said = None

    def takes_writes(member: Any) -> bool:
        return any(order[:2] == (member.name, "/failover") for order in made.orders)

    monkeypatch.setattr(failover, "takes_writes", takes_writes)
    monkeypatch.setattr(failover, "ELECTION_SECONDS", 0)
    monkeypatch.setattr(failover, "find_problems", lambda _: [])


def test_members_are_read_from_patronis_configuration(deployed: Any) -> None:
    assert [member.port for member in deployed.members] == [6001, 6002, 6003]
    assert deployed.members[0].synchronous_replicas == 1
    assert deployed.is_automatic
    assert deployed.the_primary().name == "postgresql"


def test_who_leads_is_the_primary_whatever_the_data_folders_say(deployed: Any) -> None:
    for member in deployed.members:
        member.data.mkdir()
        (member.data / "PG_VERSION").touch()
    deployed.members[0].mark_standby()
    assert deployed.the_primary().name == "postgresql"
    deployed.members[0].patroni.said = None
    with pytest.raises(cluster.Failed, match="no member leads"):
        deployed.the_primary()


def test_the_table_shows_what_patroni_says(deployed: Any) -> None:
    lines = view.render(seen(deployed)).splitlines()
    assert lines[0].endswith("Patroni")
    assert [line.split("  ")[-1].strip() for line in lines[2:]] == [
        "primary, running",
        "sync standby, streaming",
        "replica, streaming",
    ]


def test_a_silent_patroni_a_pause_and_a_lost_etcd_are_problems(deployed: Any) -> None:
    assert view.find_problems(seen(deployed)) == []
    deployed.members[0].patroni.said = LEADER | {"pause": True}
    deployed.members[1].patroni.said = None
    deployed.members[2].patroni.said = STANDBY | {"dcs_last_seen": NOW - 60}
    paused, silent, lost = view.find_problems(seen(deployed))
    assert paused.endswith("End it: patronictl resume")
    assert silent.startswith("the Patroni of postgresql-2 does not answer")
    assert lost.startswith("the Patroni of postgresql-3 does not reach etcd")


def test_a_primary_that_nobody_may_take_over_from_is_a_problem(deployed: Any) -> None:
    views = seen(deployed)
    views[0].successors = set()  # whatever the replica still says of itself, from before a failover
    (problem,) = view.find_problems(views)
    assert problem.startswith("no replica is synchronous")
    for member in deployed.members:
        member.synchronous_replicas = 0
    assert view.find_problems(seen(deployed)) == []


def test_a_failover_waits_for_patronis_election_and_asks_for_nothing_else(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_leader(deployed, monkeypatch)
    deployed.members[2].patroni.said = LEADER
    promoting = iter([False])
    monkeypatch.setattr(failover, "takes_writes", lambda member: next(promoting, True))
    monkeypatch.setattr(failover, "ELECTION_SECONDS", 30)
    monkeypatch.setattr(failover, "look", lambda _: seen(deployed))
    summary, new = failover.fail_over_by_patroni(deployed, force=False, accept_data_loss=False)
    assert new.name == "postgresql-3"
    assert summary.startswith("postgresql-3 is the primary now.")
    assert deployed.orders == []


def test_without_an_election_the_synchronous_standby_is_told_to_take_over(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_leader(deployed, monkeypatch)
    monkeypatch.setattr(failover, "look", lambda _: seen(deployed, "postgresql")[1:])
    _, new = failover.fail_over_by_patroni(deployed, force=False, accept_data_loss=False)
    assert new.name == "postgresql-2"
    assert deployed.orders == [("postgresql-2", "/failover", {"candidate": "postgresql-2"})]


def test_nobody_is_told_to_take_over_while_an_absent_replica_may_hold_more(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_the_leader(deployed, monkeypatch)
    deployed.members[1].patroni.said = None
    monkeypatch.setattr(failover, "look", lambda _: seen(deployed, "postgresql", "postgresql-2"))
    with pytest.raises(cluster.Failed, match="postgresql-2 cannot be asked"):
        failover.fail_over_by_patroni(deployed, force=False, accept_data_loss=False)
    assert deployed.orders == []
    _, new = failover.fail_over_by_patroni(deployed, force=False, accept_data_loss=True)
    assert new.name == "postgresql-3"


def test_a_primary_that_works_is_not_failed_over(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failover, "takes_writes", lambda member: True)
    with pytest.raises(cluster.Failed, match="takes writes: nothing has failed"):
        failover.fail_over_by_patroni(deployed, force=False, accept_data_loss=False)
    assert deployed.orders == []


def test_who_is_to_take_over_is_made_synchronous_first_and_the_number_is_restored(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, _, new = deployed.members

    class View:
        def __init__(self, *_: Any) -> None:
            asked = deployed.orders and deployed.orders[-1][2] == {"synchronous_node_count": 2}
            self.successors = {new.name} if asked else set()
            self.followers = {new.name: {"sync_state": "sync" if asked else "async"}}

    monkeypatch.setattr(switchover, "View", View)
    with switchover.made_synchronous(deployed, old, new):
        assert deployed.orders == [("postgresql", "/config", {"synchronous_node_count": 2})]
    assert deployed.orders[-1] == ("postgresql-3", "/config", {"synchronous_node_count": 1})


def test_what_patroni_refuses_is_told_in_its_words(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, _ = deployed.members
    for member in (old, new):
        monkeypatch.setattr(member, "run", lambda sql: [])
    monkeypatch.setattr(switchover, "made_synchronous", lambda *_: nullcontext())
    monkeypatch.setattr(switchover, "SteadyWriter", lambda _: nullcontext(SimpleNamespace(acknowledged_at=1.0)))
    old.patroni.refusal = "its Patroni says: no"
    with pytest.raises(cluster.Failed, match="postgresql-2 did not take over from postgresql: its Patroni says: no"):
        switchover.ask_patroni(deployed, old, new)


def test_all_is_stopped_before_the_primary_which_first_is_alone(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []
    waiting = iter(["postgresql-2", ""])

    def run(sql: str) -> list[dict[str, str]]:
        stopped.append("asked")
        return [{"synchronous_standby_names": next(waiting)}]

    programs = SimpleNamespace(
        names=lambda: ["replica-1", "etcd", "haproxy", *NAMES],
        stop=lambda name, wait: stopped.append(name),
        state=lambda name: "stopped",
    )
    monkeypatch.setattr(deployed, "programs", programs)
    monkeypatch.setattr(deployed.members[0], "run", run)
    halt.halt(deployed)
    assert stopped == ["replica-1", "haproxy", "postgresql-2", "postgresql-3", "asked", "asked", "postgresql"]


class StandInEtcd:
    def __init__(self, value: dict[str, Any] | None) -> None:
        self.values = {} if value is None else {"/service/x/config": json.dumps(value)}

    def get(self, key: str) -> str | None:
        return self.values.get(key)

    def put(self, key: str, value: str) -> None:
        self.values[key] = value


@pytest.mark.parametrize(
    ("present", "changed", "result"),
    [
        (None, True, {"ttl": 20}),
        ({"ttl": 20}, False, {"ttl": 20}),
        ({"ttl": 30, "surplus": 1}, True, {"ttl": 20}),
        ({"ttl": 20, "pause": True}, False, {"ttl": 20, "pause": True}),
        ({"ttl": 30, "pause": True}, True, {"ttl": 20, "pause": True}),
    ],
)
def test_etcd_has_what_was_deployed_and_keeps_the_operators_pause(present: Any, changed: bool, result: Any) -> None:
    etcd = StandInEtcd(present)
    assert store.write_configuration(etcd, "/service/x/config", {"ttl": 20}) is changed
    assert json.loads(etcd.values["/service/x/config"]) == result

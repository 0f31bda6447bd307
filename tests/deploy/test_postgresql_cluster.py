"""What is decided about the members of a database: who is the primary, who replaces it, and when nobody may."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from deploy.deployment import load_module, load_module_utils

cluster = load_module_utils("postgresql_cluster")
view = load_module_utils("postgresql_view")
failover = load_module("postgresql_failover")
switchover = load_module("postgresql_switchover")

NAMES = ("postgresql", "postgresql-2", "postgresql-3")


@pytest.fixture
def deployed(tmp_path: Path) -> Any:
    """Three members on disk, the first of them the primary; none runs."""
    for folder in ("config/programs", "run", "postgresql"):
        (tmp_path / folder).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (tmp_path / "config" / "programs" / f"{name}.conf").write_text("command = /bin/postgres -c x\n")
        settings = f"port = {6001 + number}\nsynchronous_standby_names = 'ANY 1 (a, b)'\n"
        (tmp_path / "config" / f"{name}.conf").write_text(settings)
    made = cluster.Cluster(tmp_path)
    for member in made.members:
        member.data.mkdir()
        (member.data / "PG_VERSION").touch()
    for member in made.members[1:]:
        member.mark_standby()
    return made


def seen(made: Any, **changes: dict[str, Any]) -> list[Any]:
    """A look at them while all is well, but for the changes: by name, with an underscore for the hyphen."""
    views = {}
    for member in made.members:
        views[member.slot] = SimpleNamespace(
            member=member,
            standby=member.is_standby,
            writable=not member.is_standby,
            problem=None,
            lsn=100,
            timeline=1,
            at_end=True,
            progress=(1, 100 + member.number),
            followers={} if member.is_standby else {name: {"sync_state": "quorum"} for name in NAMES[1:]},
        )
    for name, values in changes.items():
        vars(views[name]).update(values)
    return list(views.values())


GONE: dict[str, Any] = {"problem": "stopped: refused", "standby": None, "writable": False, "followers": {}}


def test_members_are_read_from_what_was_deployed(deployed: Any) -> None:
    assert [member.name for member in deployed.members] == list(NAMES)
    assert [member.port for member in deployed.members] == [6001, 6002, 6003]
    assert deployed.member("postgresql-3").data.name == "data-3"
    assert deployed.the_primary().name == "postgresql"
    with pytest.raises(cluster.Failed, match=r"member = mysql: .* Set member to one of postgresql, postgresql-2"):
        deployed.member("mysql")


def test_two_primaries_on_disk_are_never_chosen_between(deployed: Any) -> None:
    deployed.member("postgresql-3").unmark_standby()
    with pytest.raises(cluster.Failed, match="data folders of postgresql, postgresql-3 are all a primary's"):
        failover.the_lost(deployed)


def test_a_primary_is_recognised_also_where_its_disk_is_gone(deployed: Any) -> None:
    assert failover.the_lost(deployed).name == "postgresql"
    deployed.member("postgresql").data.rename(deployed.state_dir / "elsewhere")
    assert failover.the_lost(deployed).name == "postgresql"


def test_after_an_interrupted_failover_nobody_else_is_taken_for_the_primary(deployed: Any) -> None:
    first = deployed.member("postgresql")
    first.mark_standby()
    assert failover.the_lost(deployed) is None
    first.data.rename(first.fenced)
    assert failover.the_lost(deployed) is None


def test_one_change_of_roles_at_a_time(deployed: Any) -> None:
    with (
        deployed.lock(),
        pytest.raises(cluster.Failed, match="another switchover, failover or reinit is under way"),
        cluster.Cluster(deployed.state_dir).lock(),
    ):
        raise AssertionError("two at a time")
    with deployed.lock():
        pass


def test_a_failover_wants_every_replica_that_may_alone_hold_a_write(deployed: Any) -> None:
    lost = deployed.member("postgresql")
    failover.refuse_to_lose(seen(deployed, postgresql=GONE), lost)
    with pytest.raises(cluster.Failed, match="postgresql-3 cannot be asked"):
        failover.refuse_to_lose(seen(deployed, postgresql=GONE, postgresql_3=GONE), lost)


def test_a_second_failover_does_not_wait_for_whom_the_first_fenced(deployed: Any) -> None:
    first, second, _ = deployed.members
    first.data.rename(first.fenced)
    second.unmark_standby()
    failover.refuse_to_lose(seen(deployed, postgresql=GONE, postgresql_2=GONE), second)


def test_a_later_timeline_is_more_advanced_than_more_wal_of_an_earlier_one(deployed: Any) -> None:
    _, second, third = (view.View.__new__(view.View) for _ in NAMES)
    second.__dict__.update(member=deployed.members[1], timeline=1, lsn=900)
    third.__dict__.update(member=deployed.members[2], timeline=2, lsn=500)
    assert max((second, third), key=lambda each: each.progress) is third
    third.timeline = 1
    assert max((second, third), key=lambda each: each.progress) is second


def test_nothing_is_wrong_where_everybody_follows_the_one_who_writes(deployed: Any) -> None:
    assert view.find_problems(seen(deployed)) == []


def test_each_problem_names_the_member_and_the_remedy(deployed: Any) -> None:
    (silent,) = view.find_problems(seen(deployed, postgresql_2=GONE))
    assert silent == "postgresql-2 does not answer (stopped: refused); see make logs"
    (alone,) = view.find_problems(seen(deployed, postgresql={"followers": {"postgresql-2": {}}}))
    assert alone.startswith("postgresql-3 does not follow postgresql")
    assert alone.endswith("reinit-replica.yml -e member=postgresql-3")
    assert view.find_problems(seen(deployed, postgresql=GONE))[-1] == "no member takes writes. Run failover.yml"
    (split,) = view.find_problems(seen(deployed, postgresql_3={"writable": True, "standby": False}))
    assert split.startswith("postgresql, postgresql-3 take writes apart")


def test_the_table_shows_roles_and_who_is_behind(deployed: Any) -> None:
    deployed.members[2].data.rename(deployed.members[2].fenced)
    followers = {"postgresql-2": {"sync_state": "quorum", "replay_seconds": 1.25}}
    table = view.render(seen(deployed, postgresql={"followers": followers, "lsn": 164}, postgresql_3=GONE))
    rows = [line.split() for line in table.splitlines()[2:]]
    assert rows == [
        ["postgresql", "6001", "primary", "takes", "writes", "1"],
        ["postgresql-2", "6002", "standby", "synchronous", "1", "64", "bytes,", "1.2", "s"],
        ["postgresql-3", "6003", "none", "fenced"],
    ]


def test_only_a_server_that_stopped_in_its_orderly_way_tells_where_its_wal_ends(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = "Database cluster state: {}\nLatest checkpoint location: 1/A0\n"

    def control_file(state: str) -> None:
        output = SimpleNamespace(stdout=said.format(state))
        monkeypatch.setattr(switchover.subprocess, "run", lambda *_, **__: output)

    control_file("shut down")
    assert switchover.shutdown_lsn(deployed.members[0]) == (1 << 32) + 0xA1
    control_file("in production")
    with pytest.raises(cluster.Failed, match="did not stop in its orderly way"):
        switchover.shutdown_lsn(deployed.members[0])


class Calls:
    """Stands in for everything that acts on a server; remembers what was asked of whom, in order."""

    def __init__(self, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        for name in ("start", "stop"):
            monkeypatch.setattr(
                made.programs, name, lambda member, name=name, **_: self.made.append(f"{name} {member}")
            )
        monkeypatch.setattr(made, "arrange_slots", lambda primary: None)
        for member in made.members:
            monkeypatch.setattr(member, "run", lambda sql, member=member: self.run(member, sql))
            monkeypatch.setattr(member, "write", lambda seconds: None)

    def run(self, member: Any, sql: str) -> list[dict[str, Any]]:
        if "pg_promote" in sql:
            self.made.append(f"promote {member.name}")
        return [{"done": True, "lsn": 100}]


def test_nobody_is_promoted_before_the_lost_primary_is_fenced(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(deployed, monkeypatch)
    views = seen(deployed, postgresql=GONE, postgresql_2={"progress": (1, 200)})
    monkeypatch.setattr(failover, "look", lambda _: views)
    monkeypatch.setattr(failover, "takes_writes", lambda _: False)
    monkeypatch.setattr(failover, "processes_of", lambda *_: [])
    _, new = failover.fail_over(deployed, force=False, accept_data_loss=False)
    assert calls.made == ["stop postgresql", "promote postgresql-2"]
    assert new.name == "postgresql-2"
    assert deployed.member("postgresql").is_fenced
    assert not deployed.member("postgresql").has_data


def test_nobody_is_promoted_where_the_lost_primary_can_not_be_ended(
    deployed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls(deployed, monkeypatch)
    monkeypatch.setattr(failover, "look", lambda _: seen(deployed, postgresql=GONE))
    monkeypatch.setattr(failover, "takes_writes", lambda _: False)
    immortal = Mock()  # whatever it is sent
    monkeypatch.setattr(failover, "processes_of", lambda *_: [immortal])
    monkeypatch.setattr(failover.psutil, "wait_procs", lambda processes, timeout: ([], []))
    monkeypatch.setattr(failover, "KILL_SECONDS", 0)
    with pytest.raises(cluster.Failed, match="the end of postgresql's processes: not within 0 s"):
        failover.fail_over(deployed, force=False, accept_data_loss=False)
    assert calls.made == ["stop postgresql"]
    assert deployed.member("postgresql").is_standby, "it is marked all the same"


def test_a_primary_whose_wal_did_not_arrive_stays_the_primary(deployed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = Calls(deployed, monkeypatch)
    old, new, _ = deployed.members
    monkeypatch.setattr(switchover, "SteadyWriter", lambda _: nullcontext(SimpleNamespace(acknowledged_at=1.0)))
    monkeypatch.setattr(switchover, "shutdown_lsn", lambda _: 101)
    monkeypatch.setattr(switchover, "CATCH_UP_SECONDS", 0)
    with pytest.raises(cluster.Failed, match="postgresql was started again and stays the primary"):
        switchover.hand_over(deployed, old, new)
    assert calls.made == ["stop postgresql", "start postgresql"]
    assert not old.is_standby

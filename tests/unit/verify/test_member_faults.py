"""Faults of a database's members: what they ask of the target, in which order, and what they refuse to call a trial."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import psycopg2
import pytest

from ha_verify.faults import catalogue as faults
from ha_verify.faults import members as member_faults
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Member, Replica, Target

FIRST, SECOND, THIRD = "postgresql", "postgresql-2", "postgresql-3"


class FakeMembers:
    """Three, of which the first leads until another is promoted. `calls` are what was asked for, but for looks."""

    def __init__(self, *, promotes: bool = True) -> None:
        self.calls: list[str] = []
        self._promotes = promotes
        self.views = {FIRST: Member(FIRST, "primary", 1, 100, follows=False)}
        self.views |= {name: Member(name, "standby", 1, 100, follows=True) for name in (SECOND, THIRD)}

    async def names(self) -> list[str]:
        return list(self.views)

    async def look(self, member: str) -> Member:
        return self.views[member]

    async def write(self, member: str) -> int:
        if self.views[member].role == "standby":
            raise psycopg2.OperationalError("read-only")
        return self.views[member].timeline

    async def primary(self) -> Member:
        return max((view for view in self.views.values() if view.role == "primary"), key=lambda view: view.timeline)

    async def lose(self, member: str) -> str:
        return self._note(f"lose {member}")

    async def pause(self, member: str) -> str:
        return self._note(f"pause {member}")

    async def crash(self, member: str) -> str:
        return self._note(f"crash {member}")

    async def resume(self, member: str) -> str:
        return self._note(f"resume {member}")

    async def start(self, member: str) -> str:
        return self._note(f"start {member}")

    async def silence(self, member: str) -> str:
        return self._note(f"silence {member}")

    async def isolate(self, member: str) -> str:
        return self._note(f"isolate {member}")

    async def reconnect(self, member: str) -> str:
        return self._note(f"reconnect {member}")

    async def rejoin(self, member: str) -> str:
        return self._note(f"rejoin {member}")

    async def fail_over(self, lost: str) -> str:
        self._promote()
        return self._note(f"fail over from {lost}")

    async def switch_over(self) -> Mapping[str, Any]:
        self._promote()
        self._note("switch over")
        return {"writer_waited_seconds": 1.0}

    def _promote(self) -> None:
        if self._promotes:
            self.views[SECOND] = replace(self.views[SECOND], role="primary", timeline=2, follows=False)

    def _note(self, call: str) -> str:
        self.calls.append(call)
        return call


class FakeOrchestrator:
    """Of three nodes; the first has the primary, and the second replica of the catalog."""

    def __init__(self, calls: list[str], state: str) -> None:
        self._calls = calls
        self._state = state

    async def node_of_database(self) -> str:
        return "worker"

    async def node_of(self, replica: str) -> str:
        return {"catalog-1": "worker-2", "catalog-2": "worker"}[replica]

    async def break_node(self, node: str, how: str) -> str:
        self._calls.append(f"{how} {node}")
        return self._state

    async def mend_node(self, node: str) -> str:
        self._calls.append(f"mend {node}")
        return "running"


class FakeTarget:
    """With two replicas, one of which migrates from when they were started cold on."""

    def __init__(self, members: FakeMembers, *, node_is: str = "exited") -> None:
        self.members = members
        self.orchestrator = FakeOrchestrator(members.calls, node_is)

    async def replicas(self) -> list[Replica]:
        return [Replica(name, "http://127.0.0.1", True, "1") for name in ("catalog-1", "catalog-2")]

    async def start_cold(self, schema: str, replicas: int) -> None:
        self.members.calls.append(f"start {replicas} cold, {schema}")

    async def sql(self, query: str) -> list[dict[str, Any]]:
        if "LOCK TABLE" in query and "pg_sleep" in query and "pg_terminate_backend" not in query:
            await asyncio.Event().wait()  # until it is cancelled
        if "pg_terminate_backend" in query:
            self.members.calls.append("let go on")
            raise psycopg2.OperationalError("the server is gone")
        return [{"replica": "catalog-1"}]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SILENT_SECONDS", "RETURN_SECONDS", "WRITE_POLL_SECONDS", "WRITABLE_SECONDS"):
        monkeypatch.setattr(member_faults, name, 0.05)


def target(members: FakeMembers) -> Target:
    return cast(Target, FakeTarget(members))


async def test_a_switchover_tells_who_took_over_and_when_a_write_was_taken() -> None:
    members = FakeMembers()
    proof = await faults.SwitchOver().inject(target(members))
    assert (proof["primary"], proof["timelines"], members.calls) == (SECOND, [1, 2], ["switch over"])
    assert proof["writable_at"] >= proof["struck_at"]
    assert proof["procedure"] == {"writer_waited_seconds": 1.0}


@pytest.mark.parametrize("fault", [faults.SwitchOver(), faults.LosePrimary("kill")], ids=["switchover", "loss"])
async def test_where_nobody_takes_over_there_was_no_trial(fault: Any) -> None:
    with pytest.raises(FaultFailed, match=f"no other member than {FIRST} took a write"):
        await fault.inject(target(FakeMembers(promotes=False)))
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    assert all(task.cancelled() for task in others), "nobody goes on to ask for writes"


@pytest.mark.parametrize(
    ("fault", "injection", "healing"),
    [
        (faults.LosePrimary("kill"), ["lose {}", "fail over from {}"], ["rejoin {}"]),
        (
            faults.LosePrimary("kill", silenced=True, returns=True),
            ["silence {}", "lose {}", "fail over from {}"],
            ["start {}", "rejoin {}"],
        ),
        (faults.LosePrimary("pause"), ["pause {}", "fail over from {}"], ["resume {}", "rejoin {}"]),
        (faults.LosePrimary("crash"), ["crash {}", "fail over from {}"], ["rejoin {}"]),
        (faults.LosePrimary("isolate"), ["isolate {}", "fail over from {}"], ["reconnect {}", "rejoin {}"]),
    ],
    ids=["kill", "silenced, and returns", "pause", "crash", "isolate"],
)
async def test_a_primary_is_lost_replaced_and_only_then_back(
    fault: Any, injection: list[str], healing: list[str]
) -> None:
    members = FakeMembers()
    proof = await fault.inject(target(members))
    assert members.calls == [call.format(FIRST) for call in injection]
    assert (proof["member"], proof["primary"], proof["timelines"]) == (FIRST, SECOND, [1, 2])
    members.calls.clear()
    assert (await fault.heal(target(members)))["member"] == FIRST
    assert members.calls == [call.format(FIRST) for call in healing]
    assert await fault.heal(target(members)) == {}


async def test_the_primary_is_lost_while_a_migration_is_held_and_the_loss_of_its_session_is_told() -> None:
    members = FakeMembers()
    fault = faults.LoseMigratingPrimary()
    proof = await fault.inject(target(members))
    lost = [f"lose {FIRST}", f"fail over from {FIRST}"]
    assert members.calls == ["start 2 cold, half-migrated", *lost, "let go on"]
    assert proof["killed"] == {"migration of": "catalog-1"}
    assert (proof["member"], proof["primary"]) == (FIRST, SECOND)
    assert (await fault.heal(target(members)))["member"] == FIRST


@pytest.mark.parametrize(("how", "word"), [("pause its node", "pause"), ("lose its node", "lose")])
async def test_with_the_primary_s_node_a_replica_of_the_catalog_is_gone_which_is_told(how: Any, word: str) -> None:
    members = FakeMembers()
    fault = faults.LosePrimary(how)
    proof = await fault.inject(target(members))
    assert members.calls == [f"{word} worker", f"fail over from {FIRST}"]
    assert (proof["node"], proof["replica"], proof["seen"]) == ("worker", "catalog-2", ["worker is exited"])
    assert (fault.class_, fault.needs) == ("database-node", ("database members", "orchestrator"))
    members.calls.clear()
    assert (await fault.heal(target(members)))["state"] == "running"
    assert members.calls == ["mend worker", f"rejoin {FIRST}"]


async def test_a_node_that_runs_all_the_same_was_no_trial_and_is_mended() -> None:
    members = FakeMembers()
    fault = faults.LosePrimary("lose its node")
    with pytest.raises(FaultFailed, match="worker runs all the same"):
        await fault.inject(cast(Target, FakeTarget(members, node_is="running")))
    await fault.heal(target(members))
    assert members.calls == ["lose worker", "mend worker", f"rejoin {FIRST}"]


async def test_a_replica_is_lost_and_comes_back() -> None:
    members = FakeMembers()
    fault = faults.LoseReplica("kill", nth=1)
    assert (await fault.inject(target(members)))["member"] == THIRD
    await fault.heal(target(members))
    assert members.calls == [f"lose {THIRD}", f"start {THIRD}", f"rejoin {THIRD}"]


async def test_a_replica_that_follows_nobody_can_not_be_lost() -> None:
    members = FakeMembers()
    members.views[SECOND] = replace(members.views[SECOND], follows=False)
    with pytest.raises(FaultFailed, match=f"{SECOND} follows nobody already"):
        await faults.LoseReplica("pause").inject(target(members))
    assert members.calls == []

"""Every fault on a real deployment: it took effect, it was healed, and the service is whole again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from ha_verify.faults import Fault
from ha_verify.faults import catalogue as faults
from ha_verify.targets import NotPossible
from ha_verify.targets.local import LocalTarget

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("faults")]

WHOLE_SECONDS = 60.0


async def until(what: str, look: Callable[[], Awaitable[object]], seconds: float = WHOLE_SECONDS) -> None:
    give_up_at = time.monotonic() + seconds
    while not await look():
        assert time.monotonic() < give_up_at, f"{what} did not happen within {seconds:g} s"
        await asyncio.sleep(0.1)


async def readiness(url: str) -> int | None:
    """The status of /readyz; None without an answer."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as client,
            client.get(f"{url}/readyz") as response,
        ):
            return response.status
    except (aiohttp.ClientError, TimeoutError):
        return None


async def whole(target: LocalTarget) -> None:
    """All replicas are ready, also for the load balancer, and one of them leads."""

    async def look() -> bool:
        replicas = await target.replicas()
        urls = [target.base_url, *(replica.url for replica in replicas)]
        ready = await asyncio.gather(*map(readiness, urls))
        return all(status == 200 for status in ready) and await target.leader() in {each.name for each in replicas}

    await until("a whole deployment", look)


async def instances(target: LocalTarget) -> dict[str, str]:
    return {replica.name: replica.instance for replica in await target.replicas()}


async def injected(target: LocalTarget, fault: Fault) -> dict[str, Any]:
    await whole(target)
    return await fault.inject(target)


async def healed(target: LocalTarget, fault: Fault) -> dict[str, Any]:
    proof = await fault.heal(target)
    await whole(target)
    return proof


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
async def test_a_leader_that_was_ended_is_another_instance_then(target: LocalTarget, signal: Any) -> None:
    fault = faults.SignalLeader(signal)
    await whole(target)
    before, leader = await instances(target), await target.leader()
    proof = await injected(target, fault)
    await healed(target, fault)
    after = await instances(target)
    assert proof["replica"] == leader
    assert {name for name in after if after[name] != before[name]} == {leader}


async def test_a_paused_leader_is_succeeded_and_goes_on_as_the_same_instance(target: LocalTarget) -> None:
    fault = faults.PauseLeader()
    proof = await injected(target, fault)

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    await healed(target, fault)
    assert (await instances(target))[proof["replica"]] == proof["instance"]


@pytest.mark.parametrize("make", [faults.KillWorker, lambda: faults.SignalReplica("TERM")], ids=["worker", "follower"])
async def test_a_replica_that_was_ended_is_replaced(target: LocalTarget, make: Callable[[], Fault]) -> None:
    fault = make()
    proof = await injected(target, fault)
    await healed(target, fault)
    assert (await instances(target))[proof["replica"]] == proof["successor"] != proof["instance"]


@pytest.mark.parametrize("action", ["restart", "crash"])
async def test_another_postgresql_server_runs_after_a(target: LocalTarget, action: Any) -> None:
    fault = faults.Database(action)
    proof = await injected(target, fault)
    assert proof["started"] != proof["started_again"]
    await healed(target, fault)


async def test_a_paused_database_is_silent_and_makes_replicas_unready_until_it_is_healed(target: LocalTarget) -> None:
    fault = faults.PauseDatabase()
    await injected(target, fault)
    url = (await target.replicas())[0].url

    async def unready() -> bool:
        return await readiness(url) == 503

    await until("an unready replica", unready)
    await healed(target, fault)


async def test_terminated_backends_are_gone_and_replaced(target: LocalTarget) -> None:
    fault = faults.TerminateBackends()
    assert (await injected(target, fault))["ended"] > 3
    await healed(target, fault)


async def test_exhausted_connections_are_given_back(target: LocalTarget) -> None:
    fault = faults.ExhaustConnections()
    proof = await injected(target, fault)
    assert proof["held"] > 100
    sessions = (await healed(target, fault))["sessions"]
    assert sessions < proof["held"]


@pytest.mark.parametrize("how", ["refused", "frozen", "cut"])
async def test_a_replica_that_is_cut_off_is_alone_in_being_so(target: LocalTarget, how: Any) -> None:
    fault = faults.CutOffReplica(how)
    proof = await injected(target, fault)
    assert proof["connection"] == how
    urls = {replica.name: replica.url for replica in await target.replicas()}

    async def unready() -> bool:
        return await readiness(urls[proof["replica"]]) == 503

    await until("unreadiness of the replica that is cut off", unready)
    assert [await readiness(url) for name, url in urls.items() if name != proof["replica"]] == [200, 200]
    assert (await healed(target, fault))["connection"] == "open"


async def test_a_leader_that_is_cut_off_is_succeeded(target: LocalTarget) -> None:
    fault = faults.CutOffLeader("frozen")
    proof = await injected(target, fault)

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    await healed(target, fault)


async def test_the_load_balancer_is_another_process_and_answers(target: LocalTarget) -> None:
    fault = faults.RestartLoadBalancer()
    assert (await injected(target, fault))["healthz"] == "200"
    await healed(target, fault)


@pytest.mark.parametrize("seconds", [3600.0, -600.0])
async def test_a_shifted_clock_is_seen_and_set_right(target: LocalTarget, seconds: float) -> None:
    fault = faults.ShiftClock(seconds)
    assert (await injected(target, fault))["offset_seconds"] == pytest.approx(seconds, abs=5)
    assert (await healed(target, fault))["offset_seconds"] == pytest.approx(0, abs=5)


async def test_the_disk_of_the_whole_machine_is_never_filled(target: LocalTarget) -> None:
    with pytest.raises(NotPossible, match="database_volume_mib"):
        await faults.FillDisk().inject(target)


async def test_a_rolling_restart_replaces_every_instance(target: LocalTarget) -> None:
    await whole(target)
    before = await instances(target)
    fault = faults.Roll()
    await injected(target, fault)
    await healed(target, fault)
    after = await instances(target)
    assert all(after[name] != before[name] for name in before)


@pytest.mark.parametrize(
    ("schema", "kill_holder"), [("current", False), ("half-migrated", False), ("empty", False), ("empty", True)]
)
async def test_a_cold_start_ends_with_each_version_applied_once(
    target: LocalTarget, schema: Any, kill_holder: bool
) -> None:
    fault = faults.ColdStart(schema, kill_holder=kill_holder)
    proof = await injected(target, fault)
    await healed(target, fault)
    rows = await target.sql("SELECT number, applied_by FROM schema_migrations ORDER BY number")
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(rows) >= 2
    if kill_holder:
        killed = proof["killed"]["replica"]
        assert (await instances(target))[killed] != proof["killed"]["instance"]

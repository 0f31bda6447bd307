"""The kind target of the verification: each of its operations on a real cluster, proven otherwise than by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import psycopg2
import psycopg2.extensions
import pytest

from catalog_server.db import deadline
from e2e.cluster import Cluster
from ha_verify.faults import Fault
from ha_verify.faults import catalogue as faults
from ha_verify.targets import NotPossible
from ha_verify.targets.kind import KindTarget

pytestmark = pytest.mark.timeout(900)

WHOLE_SECONDS = 180.0
SETTINGS = {"probes_enabled": True}


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[KindTarget]:
    """The release as a verification has it; deployed afterwards as it was."""
    # The verification runs without the server's code, which would want a deadline for every database call.
    psycopg2.extensions.set_wait_callback(None)
    made = KindTarget(cluster.state_dir, cluster.variables | {"settings": SETTINGS})
    try:
        asyncio.run(made.up())
        yield made
    finally:
        asyncio.run(made.heal())
        asyncio.run(made.down())
        deadline.install()
        cluster.play("deploy.yml")


async def until(what: str, look: Callable[[], Awaitable[object]], seconds: float = WHOLE_SECONDS) -> None:
    give_up_at = time.monotonic() + seconds
    while not await look():
        assert time.monotonic() < give_up_at, f"{what} did not happen within {seconds:g} s"
        await asyncio.sleep(0.25)


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


async def whole(target: KindTarget) -> None:
    """Three replicas are ready, also for the load balancer, and one of them leads."""

    async def look() -> bool:
        try:
            replicas = await target.replicas()
            leader = await target.leader()
        except (NotPossible, psycopg2.Error):
            return False
        urls = [target.base_url, *(replica.url for replica in replicas)]
        ready = await asyncio.gather(*map(readiness, urls))
        return len(replicas) == 3 and set(ready) == {200} and leader in {each.name for each in replicas}

    await until("a whole deployment", look)


async def instances(target: KindTarget) -> dict[str, str]:
    return {replica.name: replica.instance for replica in await target.replicas()}


async def injected(target: KindTarget, fault: Fault) -> dict[str, Any]:
    await whole(target)
    return await fault.inject(target)


async def healed(target: KindTarget, fault: Fault) -> dict[str, Any]:
    proof = await fault.heal(target)
    await whole(target)
    return proof


async def test_three_replicas_run_and_one_of_them_leads(target: KindTarget, cluster: Cluster) -> None:
    await whole(target)
    replicas = await target.replicas()
    assert {each.name for each in replicas} == set(cluster.ready_pods())
    assert all(each.running and each.instance for each in replicas)
    assert await target.leader() == cluster.lease_holder()


async def test_timing_is_read_from_the_deployment(target: KindTarget) -> None:
    assert (target.timing.lease, target.timing.renew_deadline, target.timing.retry) == (15, 10, 2)
    assert target.timing.silence_noticed > 0
    assert target.timing.end_noticed > 0


async def test_the_token_is_accepted_and_a_changed_source_is_served(target: KindTarget) -> None:
    await whole(target)
    source = (await target.sources())[0]
    headers = {"Authorization": f"Bearer {await target.token()}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        for mark in ("first", "second"):  # within a second of each other: both are changes
            content = f'{{"source": "{source}", "models": [{{"name": "{mark}"}}]}}'
            await target.write_source(source, content)
            async with client.post(f"{target.base_url}/api/v1/sources/{source}/refresh") as response:
                assert response.status in (200, 202), await response.text()
            path = f"/api/model_catalog/v1alpha1/sources/{source}/models/{mark}"

            async def served(path: str = path) -> bool:
                async with client.get(target.base_url + path) as response:
                    return response.status == 200

            await until(f"{mark} served", served)


async def test_only_sources_and_replicas_of_the_target_are_touched(target: KindTarget) -> None:
    with pytest.raises(KeyError, match="not a source of this target"):
        await target.write_source("../house", "{}")
    for name in ("catalog-server-postgresql-0", "coredns"):
        with pytest.raises(NotPossible, match=f"replica '{name}': there are catalog-server-"):
            await target.signal(name, "KILL")


async def test_to_heal_what_is_whole_changes_nothing(target: KindTarget) -> None:
    await whole(target)
    before = await target.replicas()
    await target.heal()
    await target.heal()
    assert await target.replicas() == before


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
async def test_a_leader_that_was_ended_is_another_container_in_the_same_pod(target: KindTarget, signal: Any) -> None:
    await whole(target)
    before, leader = await instances(target), await target.leader()
    fault = faults.SignalLeader(signal)
    proof = await injected(target, fault)
    await healed(target, fault)
    after = await instances(target)
    assert proof["replica"] == leader
    assert {name for name in after if after[name] != before.get(name)} == {leader}


@pytest.mark.parametrize("grace", [True, False])
async def test_a_deleted_leader_is_succeeded_and_replaced_by_another_pod(target: KindTarget, grace: bool) -> None:
    fault = faults.DeleteLeader(grace=grace)
    proof = await injected(target, fault)

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    await healed(target, fault)
    assert proof["replica"] not in await instances(target)


async def test_pods_that_were_started_again_often_are_replaced_unless_they_lead(target: KindTarget) -> None:
    await whole(target)
    await target.renew()  # what the tests before have worn out
    await whole(target)
    leader = await target.leader()
    worn = next(name for name in await instances(target) if name != leader)
    for _ in range(2):
        before = (await instances(target))[worn]
        await target.signal(worn, "KILL")

        async def another_runs(before: str = before) -> bool:
            return (await instances(target))[worn] not in ("", before)

        await until("another container", another_runs)
    assert await target.renew() == [worn]
    await whole(target)
    assert worn not in await instances(target)
    assert await target.renew() == []
    assert await target.leader() == leader


async def test_a_paused_leader_is_succeeded_and_goes_on_as_the_same_container(target: KindTarget) -> None:
    fault = faults.PauseLeader()
    proof = await injected(target, fault)

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    await healed(target, fault)
    assert (await instances(target))[proof["replica"]] == proof["instance"]


@pytest.mark.parametrize(
    ("how", "seen"), [("refused", "refused"), ("frozen", "frozen"), ("deaf", "frozen"), ("mute", "frozen")]
)
async def test_a_replica_that_is_cut_off_is_alone_in_being_so(target: KindTarget, how: Any, seen: str) -> None:
    fault = faults.CutOffReplica(how)
    proof = await injected(target, fault)
    assert proof["connection"] == seen
    urls = {replica.name: replica.url for replica in await target.replicas()}

    async def unready() -> bool:
        return await readiness(urls[proof["replica"]]) == 503

    await until("unreadiness of the replica that is cut off", unready)
    assert [await readiness(url) for name, url in urls.items() if name != proof["replica"]] == [200, 200]
    assert (await healed(target, fault))["connection"] == "open"


async def test_a_leader_that_is_cut_off_from_the_api_alone_stays_ready_and_is_succeeded(target: KindTarget) -> None:
    fault = faults.CutOffLeader("frozen", "api server")
    proof = await injected(target, fault)
    url = next(each.url for each in await target.replicas() if each.name == proof["replica"])

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    assert await readiness(url) == 200
    await healed(target, fault)


async def test_a_connection_can_not_be_accepted_and_ended(target: KindTarget) -> None:
    with pytest.raises(NotPossible, match="can not accept a connection and end it"):
        await target.cut_off((await target.replicas())[0].name, "cut")


@pytest.mark.parametrize("how", ["frozen", "refused"])
async def test_without_the_api_server_requests_are_answered_and_the_database_is_seen(
    target: KindTarget, how: Any
) -> None:
    fault = faults.ApiServerOutage(how)
    await injected(target, fault)
    with pytest.raises(NotPossible):
        await target.replicas()
    assert await readiness(target.base_url) == 200
    assert await target.sql("SELECT 1 AS one") == [{"one": 1}]
    await healed(target, fault)


async def test_a_paused_node_goes_on_with_the_same_containers(target: KindTarget) -> None:
    fault = faults.BreakLeadersNode("pause")
    proof = await injected(target, fault)
    assert proof["state"] == "paused"
    before = await instances(target)

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    assert (await healed(target, fault))["state"] == "running"
    assert await instances(target) == before


async def test_a_lost_node_comes_back(target: KindTarget) -> None:
    fault = faults.BreakLeadersNode("lose")
    proof = await injected(target, fault)
    assert proof["state"] == "exited"

    async def another_leads() -> bool:
        return await target.leader() not in (None, proof["replica"])

    await until("another leader", another_leads)
    assert (await healed(target, fault))["state"] == "running"


async def test_the_control_plane_is_not_lost_with_a_node(target: KindTarget, cluster: Cluster) -> None:
    with pytest.raises(NotPossible, match="take away its API server instead"):
        await target.orchestrator.break_node(f"{cluster.name}-control-plane", "lose")


async def test_a_drained_node_has_no_replica_until_it_is_open_again(target: KindTarget, cluster: Cluster) -> None:
    fault = faults.DrainLeadersNode()
    proof = await injected(target, fault)
    assert proof["node"] not in {cluster.node_of(pod) for pod in cluster.ready_pods()}
    assert cluster.get("node", proof["node"])["spec"]["unschedulable"]
    await healed(target, fault)
    assert "unschedulable" not in cluster.get("node", proof["node"])["spec"]


async def test_heal_mends_what_another_run_left_behind(target: KindTarget, cluster: Cluster) -> None:
    await whole(target)
    other = KindTarget(cluster.state_dir, cluster.variables)
    leader = await other.leader()
    assert leader is not None
    # First, while the others are ready: the disruption budget lets the leader go only then.
    await other.orchestrator.drain(await other.orchestrator.node_of(leader))
    paused, cut_off = [each.name for each in await other.replicas() if each.running][:2]
    await other.signal(paused, "STOP")
    await other.cut_off(cut_off, "frozen", "database")
    await target.heal()
    await whole(target)
    assert not [node for node in cluster.get("nodes")["items"] if node["spec"].get("unschedulable")]


@pytest.mark.parametrize("action", ["restart", "crash"])
async def test_another_postgresql_server_runs_after_a(target: KindTarget, action: Any) -> None:
    fault = faults.Database(action)
    proof = await injected(target, fault)
    assert proof["started"] != proof["started_again"]
    await healed(target, fault)


async def test_a_paused_database_is_silent_and_makes_replicas_unready_until_it_is_healed(target: KindTarget) -> None:
    fault = faults.PauseDatabase()
    await injected(target, fault)
    url = (await target.replicas())[0].url

    async def unready() -> bool:
        return await readiness(url) == 503

    await until("an unready replica", unready)
    await healed(target, fault)


async def test_terminated_backends_are_gone_and_replaced(target: KindTarget) -> None:
    fault = faults.TerminateBackends()
    assert (await injected(target, fault))["ended"] > 3
    await healed(target, fault)


async def test_exhausted_connections_are_given_back(target: KindTarget) -> None:
    fault = faults.ExhaustConnections()
    proof = await injected(target, fault)
    assert proof["held"] > 20
    assert (await healed(target, fault))["sessions"] < proof["held"]


async def test_scale_changes_how_many_run(target: KindTarget) -> None:
    await target.scale(1)
    assert len(await target.replicas()) == 1
    await target.scale(3)
    assert [each.running for each in await target.replicas()] == [True, True, True]


async def test_a_rolling_restart_replaces_every_pod(target: KindTarget) -> None:
    fault = faults.Roll()
    await whole(target)
    before = await instances(target)
    await injected(target, fault)
    await healed(target, fault)
    assert not set(before) & set(await instances(target))


async def test_an_upgrade_and_its_rollback_are_releases_of_their_own(target: KindTarget, cluster: Cluster) -> None:
    upgraded = await injected(target, faults.ChangeRelease())
    await whole(target)
    assert int((await injected(target, faults.ChangeRelease(back=True)))["release"]) > int(upgraded["release"])
    await whole(target)


@pytest.mark.parametrize("kill_leader", [False, True])
async def test_a_state_that_was_deleted_is_made_again(target: KindTarget, kill_leader: bool) -> None:
    fault = faults.LoseState(kill_leader=kill_leader)
    proof = await injected(target, fault)
    await healed(target, fault)
    assert proof["after"]["uid"] != proof["before"]["uid"]
    assert int(proof["after"]["epoch"]) >= int(proof["before"]["epoch"])


@pytest.mark.parametrize(
    ("schema", "kill_holder"), [("current", False), ("half-migrated", False), ("empty", False), ("empty", True)]
)
async def test_a_cold_start_ends_with_each_version_applied_once(
    target: KindTarget, schema: Any, kill_holder: bool
) -> None:
    fault = faults.ColdStart(schema, kill_holder=kill_holder)
    proof = await injected(target, fault)
    await healed(target, fault)
    rows = await target.sql("SELECT number, applied_by FROM schema_migrations ORDER BY number")
    assert [row["number"] for row in rows] == list(range(1, len(rows) + 1))
    if kill_holder:
        killed = proof["killed"]["replica"]
        assert (await instances(target))[killed] != proof["killed"]["instance"]


@pytest.mark.parametrize("make", [lambda: faults.ShiftClock(3600.0), faults.FillDisk, faults.RestartLoadBalancer])
async def test_what_can_not_be_done_is_told_with_the_reason(target: KindTarget, make: Callable[[], Fault]) -> None:
    with pytest.raises(NotPossible):
        await make().inject(target)
    await whole(target)

"""The database's members on the kind target: each operation on a real cluster, proven otherwise than by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest

from catalog_server.db import deadline
from e2e.cluster import Cluster
from ha_verify.targets import Member, NotPossible
from ha_verify.targets.kind import KindTarget

pytestmark = pytest.mark.timeout(900)

WHOLE_SECONDS = 240.0
VARIABLES: dict[str, Any] = {"postgresql_ha": True, "settings": {"probes_enabled": True}}


@pytest.fixture(scope="module")
def target(cluster: Cluster) -> Iterator[KindTarget]:
    """The release on a database of three members; deployed afterwards as it was."""
    cluster.play("image.yml", event="images built", **VARIABLES)
    psycopg2.extensions.set_wait_callback(None)  # the verification runs without the server's code
    made = KindTarget(cluster.state_dir, cluster.variables | VARIABLES)
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


async def whole(target: KindTarget) -> Member:
    """One primary, that two follow. Returns it."""
    await target.heal()
    return await target.members.primary()


def endpoint(cluster: Cluster) -> str:
    """Where the Service of the primary leads: the address of a pod."""
    return str(cluster.get("endpoints", "catalog-server-db")["subsets"][0]["addresses"][0]["ip"])


def pod(cluster: Cluster, name: str) -> dict[str, Any]:
    return cluster.get("pod", name)


async def others(target: KindTarget, primary: Member) -> list[str]:
    return [name for name in await target.members.names() if name != primary.name]


async def test_members_tell_what_kubernetes_knows_of_them(target: KindTarget, cluster: Cluster) -> None:
    primary = await whole(target)
    assert pod(cluster, primary.name)["status"]["podIP"] == endpoint(cluster)
    for name in await others(target, primary):
        looked = await target.members.look(name)
        assert (looked.role, looked.timeline, looked.follows) == ("standby", primary.timeline, True)
        with pytest.raises(psycopg2.Error):
            await target.members.write(name)
    assert await target.members.write(primary.name) == primary.timeline
    assert (await target.sql("SELECT current_database() AS name, pg_is_in_recovery() AS standby")) == [
        {"name": "catalog", "standby": False}
    ]


async def test_a_lost_primary_is_replaced_stays_away_and_comes_back(target: KindTarget, cluster: Cluster) -> None:
    primary = await whole(target)
    node = pod(cluster, primary.name)["spec"]["nodeName"]
    await target.members.lose(primary.name)
    assert await target.members.fail_over(primary.name)
    assert (await target.members.primary()).timeline > primary.timeline
    assert pod(cluster, primary.name)["status"]["phase"] == "Pending"
    assert cluster.get("node", node)["spec"]["unschedulable"]
    await target.members.start(primary.name)
    assert "follows" in await target.members.rejoin(primary.name)
    assert "unschedulable" not in cluster.get("node", node)["spec"]


async def test_a_paused_primary_keeps_its_container_or_is_ended_by_its_kubelet(
    target: KindTarget, cluster: Cluster
) -> None:
    primary = await whole(target)
    await target.members.pause(primary.name)
    with pytest.raises(psycopg2.Error):
        await target.members.look(primary.name)
    await target.members.fail_over(primary.name)
    assert pod(cluster, primary.name)["status"]["podIP"] != endpoint(cluster)
    await target.members.resume(primary.name)
    await target.members.rejoin(primary.name)


async def test_a_silenced_primary_keeps_its_replicas_connections(target: KindTarget) -> None:
    primary = await whole(target)
    await target.members.silence(primary.name)
    for name in await others(target, primary):
        assert (await target.members.look(name)).follows
    assert (await target.members.look(primary.name)).role == "primary"


async def test_an_isolated_primary_gives_up_and_is_replaced(target: KindTarget, cluster: Cluster) -> None:
    primary = await whole(target)
    await target.members.isolate(primary.name)
    await target.members.fail_over(primary.name)
    assert pod(cluster, primary.name)["status"]["podIP"] != endpoint(cluster)

    async def gave_up() -> bool:
        try:
            return (await target.members.look(primary.name)).role == "standby"
        except psycopg2.Error:
            return True

    await until("a former primary that knows it", gave_up)
    assert pod(cluster, primary.name)["status"]["containerStatuses"][0]["state"].get("running"), "it was not ended"
    await target.members.reconnect(primary.name)
    await target.members.rejoin(primary.name)


async def test_a_switchover_has_another_primary(target: KindTarget, cluster: Cluster) -> None:
    primary = await whole(target)
    told = await target.members.switch_over()
    assert told["primary"] != primary.name
    assert pod(cluster, told["primary"])["status"]["podIP"] == endpoint(cluster)


async def test_members_are_seen_while_the_api_server_is_away(target: KindTarget) -> None:
    await whole(target)
    await target.orchestrator.break_api("refused")
    try:
        for name in await target.members.names():
            await target.members.look(name)
        assert await target.sql("SELECT 1 AS one") == [{"one": 1}]
    finally:
        await target.orchestrator.mend_api()


async def test_heal_mends_what_another_run_left_behind(target: KindTarget, cluster: Cluster) -> None:
    primary = await whole(target)
    other = KindTarget(cluster.state_dir, cluster.variables | VARIABLES)
    gone, paused = await others(target, primary)
    await other.members.names()
    await other.members.lose(gone)
    await other.members.pause(paused)
    await target.heal()
    for name in (gone, paused):
        assert (await target.members.look(name)).follows


async def test_the_database_of_one_member_has_none_to_be_broken(cluster: Cluster) -> None:
    with pytest.raises(NotPossible, match="add -e postgresql_ha=true"):
        _ = KindTarget(cluster.state_dir, cluster.variables).members

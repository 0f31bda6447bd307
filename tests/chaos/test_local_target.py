"""The local target: what it says of a real deployment, and what it refuses."""

from pathlib import Path

import aiohttp
import pytest

from ha_verify.targets import NotPossible
from ha_verify.targets.local import LocalTarget
from ha_verify.targets.playbook import PlaybookFailed

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("local_target")]


async def test_timing_is_read_from_the_deployment(target: LocalTarget) -> None:
    assert (target.timing.lease, target.timing.renew_deadline, target.timing.retry) == (3, 2, 0.4)
    assert (target.timing.claim_lease, target.timing.database_deadline) == (3, 2)
    assert LocalTarget(target.state_dir).timing == target.timing


async def test_three_replicas_run_and_one_of_them_leads(target: LocalTarget) -> None:
    replicas = await target.replicas()
    assert [replica.name for replica in replicas] == ["replica-1", "replica-2", "replica-3"]
    assert all(replica.running and replica.instance for replica in replicas)
    assert await target.leader() in {replica.name for replica in replicas}


async def test_the_token_is_accepted_for_writes(target: LocalTarget) -> None:
    headers = {"Authorization": f"Bearer {await target.token()}"}
    async with aiohttp.ClientSession(headers=headers) as client:
        source = (await target.sources())[0]
        async with client.post(f"{target.base_url}/api/v1/sources/{source}/refresh") as response:
            assert response.status in (200, 202), await response.text()


async def test_to_heal_what_is_whole_changes_nothing(target: LocalTarget) -> None:
    before = await target.replicas()
    await target.heal()
    await target.heal()
    assert await target.replicas() == before


async def test_only_sources_of_the_target_can_be_written(target: LocalTarget) -> None:
    with pytest.raises(KeyError, match="not a source of this target"):
        await target.write_source("../house", "{}")


async def test_only_replicas_of_this_deployment_are_signalled(target: LocalTarget) -> None:
    for name in ("replica-7", "postgresql"):
        with pytest.raises(NotPossible, match="there are replica-1, replica-2, replica-3"):
            await target.signal(name, "KILL")


async def test_scale_changes_how_many_run(target: LocalTarget) -> None:
    await target.scale(1)
    assert [replica.name for replica in await target.replicas()] == ["replica-1"]
    await target.scale(3)
    assert [replica.running for replica in await target.replicas()] == [True, True, True]


async def test_what_is_not_deployed_is_not_possible(tmp_path: Path) -> None:
    missing = LocalTarget(tmp_path / "missing")
    with pytest.raises(NotPossible, match="nothing is deployed"):
        _ = missing.base_url
    with pytest.raises(NotPossible, match="supervisord does not answer"):
        await missing.replicas()


async def test_a_refused_deployment_is_told_in_the_words_of_the_playbook(tmp_path: Path) -> None:
    with pytest.raises(PlaybookFailed, match="replicas = 12: must be a whole number from 1 to 9"):
        await LocalTarget(tmp_path / "state").up(12)

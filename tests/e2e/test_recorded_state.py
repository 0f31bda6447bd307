"""The state in the ConfigMap: an aid that the leader writes, loses, and writes again."""

from collections.abc import Mapping

import pytest

from e2e import waits
from e2e.cluster import RELEASE, Cluster

STATE = f"{RELEASE}-state"


def recorded(release: Cluster) -> Mapping[str, str]:
    data: Mapping[str, str] = release.get("configmap", STATE)["data"]
    return data


def wait_for_the_leader_s_own(release: Cluster) -> Mapping[str, str]:
    """The state of the present leader, in operation."""

    def look() -> Mapping[str, str] | None:
        data, leader = recorded(release), release.overview()["leader"]
        return data if data["phase"] == "OPERATIONAL" and int(data["epoch"]) == leader["epoch"] else None

    return waits.until("state recorded", look)


def test_the_leader_records_that_it_is_in_operation(release: Cluster) -> None:
    assert wait_for_the_leader_s_own(release)


def test_a_new_leader_goes_on_in_operation(release: Cluster) -> None:
    former = release.lease_holder()
    assert former is not None
    earlier = int(wait_for_the_leader_s_own(release)["epoch"])
    release.kubectl("delete", "pod", former, "--wait=false")
    release.wait_for_another_leader(former)
    assert int(wait_for_the_leader_s_own(release)["epoch"]) > earlier


@pytest.mark.parametrize("leader_killed", [False, True], ids=["leader stays", "leader killed"])
def test_a_deleted_state_is_recorded_again_without_harm(release: Cluster, leader_killed: bool) -> None:
    models = release.overview()["catalog"]
    leader = release.lease_holder()
    assert leader is not None
    release.kubectl("delete", "configmap", STATE)
    if leader_killed:
        release.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
        release.wait_for_another_leader(leader)
    wait_for_the_leader_s_own(release)
    assert release.overview()["catalog"] == models

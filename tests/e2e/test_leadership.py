"""A leader that goes is succeeded, and its loops go on."""

from e2e import waits
from e2e.cluster import RELEASE, Cluster


def test_a_deleted_leader_hands_the_lease_over(release: Cluster) -> None:
    former = release.lease_holder()
    assert former is not None
    epoch = release.overview()["leader"]["epoch"]
    release.kubectl("delete", "pod", former, "--wait=false")
    successor = release.wait_for_another_leader(former)
    overview = release.overview()
    assert overview["leader"]["epoch"] > epoch
    assert successor in release.ready_pods()
    release.wait_until_ready()


def test_a_lease_deleted_by_hand_never_turns_epochs_back(release: Cluster) -> None:
    epoch = release.overview()["leader"]["epoch"]
    release.kubectl("delete", "lease", RELEASE)

    def look() -> bool:
        leader = release.overview()["leader"]
        return bool(leader and leader["epoch"] > epoch and leader["replica"] == release.lease_holder())

    waits.until("leader elected", look)

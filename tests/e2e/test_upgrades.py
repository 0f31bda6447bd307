"""An upgrade that can not work is taken back while clients are served; a good one can be, and wins over other hands."""

from deploy.steady_client import SteadyClient
from e2e.cluster import RELEASE, Cluster


def image_of(release: Cluster) -> str:
    containers = release.get("deployment", RELEASE)["spec"]["template"]["spec"]["containers"]
    return str(containers[0]["image"])


def test_an_upgrade_to_an_image_that_is_not_there_is_taken_back_while_serving(release: Cluster) -> None:
    before = image_of(release)
    client = SteadyClient(release.http_port, path="/api/model_catalog/v1alpha1/sources", per_second=50)
    with client.running():
        release.play("upgrade.yml", succeed=False, image_tag="0.0.0-not-there", rollout_timeout_seconds=30)
        release.wait_until_ready()
    assert client.failures == []
    assert image_of(release) == before


def test_settings_are_upgraded_and_rolled_back_without_losing_a_request(release: Cluster) -> None:
    before = set(release.ready_pods())
    client = SteadyClient(release.http_port, path="/api/model_catalog/v1alpha1/sources", per_second=50)
    with client.running():
        release.play("upgrade.yml", settings={"log_level": "debug"})
        release.wait_until_ready()
        upgraded = set(release.ready_pods())
        release.play("rollback.yml")
        release.wait_until_ready()
    assert client.failures == []
    assert not before & upgraded
    assert not upgraded & set(release.ready_pods())


def test_a_number_of_replicas_that_somebody_else_has_set_is_changed(release: Cluster) -> None:
    release.kubectl("scale", f"deployment/{RELEASE}", "--replicas=4")
    release.wait_until_ready(4)
    release.play("scale.yml", replicas=2)
    release.wait_until_ready(2)
    release.play("scale.yml", replicas=3)
    release.wait_until_ready(3)

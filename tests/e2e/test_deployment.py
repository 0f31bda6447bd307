"""What `deploy.yml` leaves behind: three replicas apart from each other, one leader, and the catalog served."""

import json
from collections.abc import Mapping
from typing import Any

from e2e.cluster import NAMESPACE, RELEASE, Cluster


def test_three_replicas_are_ready_on_three_nodes(release: Cluster) -> None:
    ready = release.ready_pods()
    assert len(ready) == 3
    assert len({release.node_of(pod) for pod in ready}) == 3


def test_one_of_them_holds_the_lease_and_the_database_says_the_same(release: Cluster) -> None:
    holder = release.lease_holder()
    assert holder in release.ready_pods()
    overview = release.overview()
    assert overview["leader"]["replica"] == holder
    assert [replica["name"] for replica in overview["replicas"] if replica["leader"]] == [holder]


def test_the_catalog_is_served_at_the_loopback_address(release: Cluster) -> None:
    assert release.ask("/api/model_catalog/v1alpha1/models")["items"]


def test_deploying_again_changes_nothing(release: Cluster) -> None:
    before = {pod["metadata"]["uid"] for pod in release.pods()}
    assert "changed=0 " in release.play("deploy.yml")
    assert {pod["metadata"]["uid"] for pod in release.pods()} == before


def test_the_chart_s_own_test_passes(release: Cluster) -> None:
    output = release.helm("test", RELEASE, "--namespace", NAMESPACE)
    assert "Succeeded" in output


def test_every_container_is_unprivileged_and_can_write_nothing_of_its_image(release: Cluster) -> None:
    for pod in release.get("pods")["items"]:
        assert pod["spec"]["securityContext"]["runAsNonRoot"]
        for container in pod["spec"]["containers"]:
            security: Mapping[str, Any] = container["securityContext"]
            assert security["readOnlyRootFilesystem"], pod["metadata"]["name"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"]["drop"] == ["ALL"]


def test_no_secret_is_in_a_pod_s_environment_or_command(release: Cluster) -> None:
    secrets = [release.get("secret", name)["data"] for name in (RELEASE, f"{RELEASE}-postgresql")]
    values = {value for data in secrets for value in _decoded(data)}
    assert values
    spec = json.dumps(release.get("pods"))
    assert not [value for value in values if value in spec]


def _decoded(data: Mapping[str, str]) -> list[str]:
    from base64 import b64decode

    return [b64decode(value).decode() for value in data.values()]

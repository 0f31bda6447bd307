"""Replicas that end in good order cost no client anything: a rollout, a drain, and 3 -> 1 -> 3 under load."""

from collections.abc import Iterator

import pytest

from deploy.steady_client import SteadyClient
from e2e import waits
from e2e.cluster import RELEASE, Cluster

PER_SECOND = 100


@pytest.fixture
def client(release: Cluster) -> Iterator[SteadyClient]:
    """Clients that keep their connections and repeat nothing; not one of their requests may fail."""
    client = SteadyClient(
        release.http_port, path="/api/model_catalog/v1alpha1/models?pageSize=5", per_second=PER_SECOND, connections=10
    )
    with client.running():
        yield client
    assert client.succeeded
    assert client.failures == []


@pytest.fixture
def uncordoned(release: Cluster) -> Iterator[list[str]]:
    """The nodes named here take pods again afterwards."""
    nodes: list[str] = []
    yield nodes
    for node in nodes:
        release.kubectl("uncordon", node)
    release.wait_until_ready()


def test_a_rollout_costs_no_request(release: Cluster, client: SteadyClient) -> None:
    before = set(release.ready_pods())
    release.kubectl("rollout", "restart", f"deployment/{RELEASE}")
    timeout = f"--timeout={waits.longest('rollout finished'):g}s"
    release.kubectl("rollout", "status", f"deployment/{RELEASE}", timeout)
    release.wait_until_ready()
    assert not before & set(release.ready_pods())


def test_scaling_down_to_one_and_up_to_three_costs_no_request(release: Cluster, client: SteadyClient) -> None:
    release.play("scale.yml", replicas=1)
    release.wait_until_ready(1)
    release.play("scale.yml", replicas=3)
    release.wait_until_ready(3)


def test_draining_the_leader_s_node_costs_no_request_and_keeps_the_budget(
    release: Cluster, client: SteadyClient, uncordoned: list[str]
) -> None:
    leader = release.lease_holder()
    assert leader is not None
    node = release.node_of(leader)
    uncordoned.append(node)
    timeout = f"--timeout={waits.longest('node drained'):g}s"
    # The trial database is a single one: a drain of its node would be an outage of its own.
    selector = "app.kubernetes.io/component=server"
    release.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--pod-selector", selector, timeout)
    release.wait_for_another_leader(leader)
    assert node not in {release.node_of(pod) for pod in release.ready_pods()}

"""The table and the verdict that end a deployment."""

import copy

from deploy.deployment import load_module

cluster_status = load_module("cluster_status")

CLUSTER = {
    "schemaVersion": {"current": 1, "known": 1, "pending": 0},
    "leader": {"holder": "id-2", "replica": "replica-2", "epoch": 7, "since": "2026-01-01T00:00:00Z"},
    "replicas": [
        {"id": "id-1", "name": "replica-1", "version": "0.1.0", "ready": True, "leader": False},
        {"id": "id-2", "name": "replica-2", "version": "0.1.0", "ready": True, "leader": True},
    ],
    "jobs": {"available": 0, "running": 0, "completed": 4, "dead": 0, "cancelled": 0},
    "catalog": {"sources": 2, "models": 33},
}
READY = {"replica-1": (200, {}), "replica-2": (200, {})}


def changed(**values: object) -> dict:
    return copy.deepcopy(CLUSTER) | values


def test_a_complete_cluster_has_no_problems_and_one_leader_in_the_table() -> None:
    assert cluster_status.find_problems(CLUSTER, READY) == []
    rows = cluster_status.render(CLUSTER, READY).splitlines()[2:]
    assert [row.split() for row in rows] == [
        ["replica-1", "0.1.0", "yes", "follower", "2", "33", "4"],
        ["replica-2", "0.1.0", "yes", "leader", "7", "2", "33", "4"],
    ]


def test_a_replica_that_is_silent_or_not_ready_is_named_with_its_reason() -> None:
    readiness = {"replica-1": (None, "Connection refused"), "replica-2": (503, {"checks": "draining"})}
    silent, unready = cluster_status.find_problems(CLUSTER, readiness)
    assert silent.startswith("replica-1 does not answer (Connection refused)")
    assert unready == 'replica-2 is not ready (503): {"checks": "draining"}'
    table = cluster_status.render(CLUSTER, readiness)
    assert "no answer" in table


def test_no_leader_and_a_leader_that_is_gone_are_problems() -> None:
    gone = changed(leader=CLUSTER["leader"] | {"replica": None})  # type: ignore[operator]
    for cluster in (changed(leader=None), gone):
        (problem,) = cluster_status.find_problems(cluster, READY)
        assert problem.startswith("no replica leads")
        assert "leader" not in cluster_status.render(cluster, READY)


def test_pending_migrations_are_a_problem() -> None:
    cluster = changed(schemaVersion={"current": 1, "known": 2, "pending": 1})
    assert cluster_status.find_problems(cluster, READY) == ["migrations are pending: 1"]


def test_without_an_answer_from_the_load_balancer_there_is_still_a_table() -> None:
    (problem,) = cluster_status.find_problems(None, READY)
    assert "load balancer" in problem
    assert "replica-2" in cluster_status.render(None, READY)


def test_a_cluster_is_settled_once_every_refresh_that_was_due_is_done() -> None:
    assert cluster_status.is_settled(CLUSTER)
    assert not cluster_status.is_settled(changed(jobs=CLUSTER["jobs"] | {"running": 1}))  # type: ignore[operator]
    assert not cluster_status.is_settled(changed(jobs=CLUSTER["jobs"] | {"completed": 0}))  # type: ignore[operator]

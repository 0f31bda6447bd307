"""What the kind target makes of the documents of the API: no cluster is needed for that."""

import subprocess
from types import ModuleType
from typing import Any

import pytest

from ha_verify.targets.kind import console, containers, control_plane, pods
from ha_verify.targets.kind.deployment import aside, unfinished
from ha_verify.targets.kind.timing import END_SEEN_SECONDS, SPREAD_SECONDS, replicated, timing

SETTINGS = {
    "leadership_lease_seconds": 15,
    "leadership_renew_deadline_seconds": 10,
    "leadership_retry_seconds": 2,
    "jobs_claim_lease_seconds": 10,
    "jobs_rescue_seconds": 0.5,
    "schedule_seconds": 1,
    "drain_seconds": 1,
    "database_deadline_seconds": 5,
}


def pod(name: str, *, phase: str = "Running", deleting: bool = False, **container: Any) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{name}"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    main = {"name": "catalog-server", "containerID": "containerd://0123456789abcdef", "restartCount": 0} | container
    conditions = [{"type": "Ready", "status": "True"}]
    return {
        "metadata": metadata,
        "spec": {"nodeName": "worker"},
        "status": {"phase": phase, "containerStatuses": [main], "conditions": conditions},
    }


def parsed(*items: dict[str, Any]) -> list[pods.Pod]:
    return pods.parse({"items": list(items)}, "catalog-server")


def test_a_running_pod_is_a_replica_that_is_reached_past_the_load_balancer() -> None:
    (running,) = parsed(pod("a", state={"running": {}}))
    replica = running.replica("http://127.0.0.1:1", "catalog")
    assert (replica.name, replica.running, replica.instance) == ("a", True, "0123456789ab")
    assert replica.url == "http://127.0.0.1:1/api/v1/namespaces/catalog/pods/a:8080/proxy"


def test_a_container_that_waits_to_be_started_again_has_no_instance() -> None:
    (waiting,) = parsed(pod("a", state={"waiting": {"reason": "CrashLoopBackOff"}}, restartCount=3))
    assert not waiting.running
    assert waiting.restarts == 3
    assert waiting.replica("http://127.0.0.1:1", "catalog").instance == ""


def test_a_pod_that_goes_is_no_replica_any_more_and_one_that_was_evicted_is_none_at_all() -> None:
    going, stays = parsed(
        pod("a", state={"running": {}}, deleting=True), pod("b", state={"running": {}}), pod("c", phase="Failed")
    )
    assert (going.counts, stays.counts) == (False, True)


def test_a_pod_that_was_just_made_has_neither_node_nor_container() -> None:
    new: dict[str, Any] = {"metadata": {"name": "a", "uid": "1"}, "spec": {}, "status": {"phase": "Pending"}}
    (pending,) = parsed(new)
    assert (pending.node, pending.container, pending.running, pending.ready) == ("", "", False, False)


@pytest.mark.parametrize(
    ("status", "amiss"),
    [
        ({"observedGeneration": 1}, "not seen yet"),
        ({"observedGeneration": 2, "updatedReplicas": 1}, "updatedReplicas is 1, wanted are 3"),
        ({"observedGeneration": 2, "updatedReplicas": 3, "availableReplicas": 2}, "availableReplicas is 2"),
        ({"observedGeneration": 2, "updatedReplicas": 3, "availableReplicas": 3, "replicas": 4}, "replicas is 4"),
    ],
)
def test_a_rollout_is_unfinished_until_old_pods_are_gone(status: dict[str, int], amiss: str) -> None:
    said = unfinished({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status})
    assert said is not None
    assert amiss in said


def test_a_rollout_is_finished_when_as_many_as_wanted_are_new_and_available() -> None:
    status = {"observedGeneration": 2, "updatedReplicas": 3, "availableReplicas": 3, "replicas": 3}
    assert unfinished({"metadata": {"generation": 2}, "spec": {"replicas": 3}, "status": status}) is None


def template(**container: Any) -> dict[str, Any]:
    main = {"name": "catalog-server", "image": "catalog-server:1", "env": [{"name": "A"}]} | container
    return {"spec": {"containers": [main], "volumes": [{"name": "config"}], "serviceAccountName": "catalog-server"}}


def test_a_command_aside_has_the_configuration_of_the_replicas_and_no_requests() -> None:
    probe = {"httpGet": {"path": "/readyz"}}
    made = aside("x", "catalog", template(readinessProbe=probe, ports=[{"containerPort": 8080}]), ("db", "upgrade"))
    container = made["spec"]["containers"][0]
    assert container == {
        "name": "catalog-server",
        "image": "catalog-server:1",
        "env": [{"name": "A"}],
        "command": ["db", "upgrade"],
    }
    assert made["spec"]["volumes"] == [{"name": "config"}]
    assert made["spec"]["restartPolicy"] == "Never"
    assert "app.kubernetes.io/component" not in made["metadata"]["labels"]


def test_what_the_load_balancer_notices_follows_from_the_probes() -> None:
    probe = {"periodSeconds": 2, "failureThreshold": 2, "timeoutSeconds": 3}
    told = timing(SETTINGS, template(readinessProbe=probe, lifecycle={"preStop": {"sleep": {"seconds": 4}}}))
    assert told.silence_noticed == 2 * 2 + 3 + SPREAD_SECONDS
    assert told.readmitted == 2 + SPREAD_SECONDS
    assert told.end_noticed == END_SEEN_SECONDS + SPREAD_SECONDS
    assert told.before_stop == 4
    assert (told.lease, told.claim_lease) == (15, 10)


@pytest.mark.parametrize(
    ("lifecycle", "seconds"),
    [
        ({}, 0),
        ({"preStop": {"exec": {"command": ["sleep", "5"]}}}, 5),
        ({"preStop": {"exec": {"command": ["sh", "-c", "sync"]}}}, 0),
    ],
)
def test_a_hook_that_does_not_sleep_delays_nothing(lifecycle: dict[str, Any], seconds: float) -> None:
    assert timing(SETTINGS, template(lifecycle=lifecycle)).before_stop == seconds


def test_how_fast_another_member_takes_over_follows_from_what_patroni_is_told() -> None:
    alone = timing(SETTINGS, template())
    told = replicated(alone, {"ttl": 20, "loop_wait": 5, "retry_timeout": 5})
    assert (told.database_failover, told.database_fenced) == (35.0, 10.0)
    assert told.readmitted == alone.readmitted + SPREAD_SECONDS


def scripts(module: ModuleType) -> list[str]:
    return [
        text for text in vars(module).values() if isinstance(text, str) and "\n" in text and text is not module.__doc__
    ]


@pytest.mark.parametrize("script", [*scripts(containers), *scripts(control_plane), *scripts(console)])
def test_a_script_for_a_node_is_one_that_a_shell_can_read(script: str) -> None:
    done = subprocess.run(["bash", "-n", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""Replicas that survive a node, a drain and a rollout; and a single one that stands in nobody's way."""

import pytest

from unit.helm.chart import EXTERNAL, TRIAL, Object, Values, needs_helm, render

pytestmark = needs_helm

AUTOSCALED: Values = {"autoscaling": {"enabled": True}}
ONE: Values = {"replicaCount": 1}


def test_a_rollout_takes_no_replica_away_before_the_next_is_ready() -> None:
    strategy = render(TRIAL).get("Deployment")["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def spread() -> dict[str, Object]:
    return {each["topologyKey"]: each for each in render(TRIAL).pod["topologySpreadConstraints"]}


def test_replicas_are_on_different_nodes_and_rather_in_different_zones() -> None:
    rules = {key: (each["maxSkew"], each["whenUnsatisfiable"]) for key, each in spread().items()}
    assert rules == {
        "kubernetes.io/hostname": (1, "DoNotSchedule"),
        "topology.kubernetes.io/zone": (1, "ScheduleAnyway"),
    }
    (rather,) = render(TRIAL).pod["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert rather["podAffinityTerm"]["topologyKey"] == "kubernetes.io/hostname"


def test_spreading_never_waits_for_pods_of_the_version_before_nor_for_nodes_that_take_none() -> None:
    assert all(each["matchLabelKeys"] == ["pod-template-hash"] for each in spread().values())
    assert spread()["kubernetes.io/hostname"]["nodeTaintsPolicy"] == "Honor"


def test_how_strictly_pods_are_spread_can_be_chosen() -> None:
    chosen = render(TRIAL, {"topologySpread": {"hosts": "ScheduleAnyway", "zones": "DoNotSchedule"}})
    rules = {each["topologyKey"]: each["whenUnsatisfiable"] for each in chosen.pod["topologySpreadConstraints"]}
    assert rules == {
        "kubernetes.io/hostname": "ScheduleAnyway",
        "topology.kubernetes.io/zone": "DoNotSchedule",
    }


def test_selectors_find_the_pods_of_the_server_and_no_others() -> None:
    rendered = render(TRIAL)
    deployment = rendered.get("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    selectors = [
        deployment["selector"]["matchLabels"],
        rendered.get("Service")["spec"]["selector"],
        rendered.get("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        rendered.get("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in rendered.pod["topologySpreadConstraints"]),
    ]
    database = rendered.get("StatefulSet", "catalog-server-postgresql")["spec"]["template"]["metadata"]["labels"]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= database.items()


def test_three_replicas_have_a_budget_of_two() -> None:
    assert render(TRIAL).get("Deployment")["spec"]["replicas"] == 3
    assert render(TRIAL).get("PodDisruptionBudget")["spec"]["minAvailable"] == 2


@pytest.mark.parametrize("values", [ONE, {"replicaCount": 2}, {"podDisruptionBudget": {"enabled": False}}])
def test_no_budget_blocks_a_drain_for_ever(values: Values) -> None:
    assert not render(TRIAL, values).has("PodDisruptionBudget")


def test_one_replica_differs_from_three_in_its_number_and_budget_only() -> None:
    one, three = render(EXTERNAL, ONE, {"auth": {"enabled": False}}), render(EXTERNAL, {"auth": {"enabled": False}})
    assert one.get("Deployment")["spec"] | {"replicas": 3} == three.get("Deployment")["spec"]
    different = [each for each in three if each["kind"] not in ("Deployment", "PodDisruptionBudget", "Pod")]
    assert [each for each in one if each["kind"] not in ("Deployment", "Pod")] == different


def test_without_autoscaling_there_is_no_autoscaler() -> None:
    assert not render(TRIAL).has("HorizontalPodAutoscaler")


def test_the_autoscaler_decides_alone_how_many_replicas_there_are() -> None:
    rendered = render(TRIAL, AUTOSCALED)
    assert "replicas" not in rendered.get("Deployment")["spec"]
    spec = rendered.get("HorizontalPodAutoscaler")["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "catalog-server"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    targets = {each["resource"]["name"]: each["resource"]["target"]["averageUtilization"] for each in spec["metrics"]}
    assert targets == {"cpu": 70, "memory": 80}


def test_how_fast_the_autoscaler_is_can_be_said() -> None:
    assert "behavior" not in render(TRIAL, AUTOSCALED).get("HorizontalPodAutoscaler")["spec"]
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 0}}
    rendered = render(TRIAL, AUTOSCALED, {"autoscaling": {"behavior": behavior}})
    assert rendered.get("HorizontalPodAutoscaler")["spec"]["behavior"] == behavior


def test_the_budget_follows_the_fewest_replicas_of_the_autoscaler() -> None:
    assert render(TRIAL, AUTOSCALED).has("PodDisruptionBudget")
    assert not render(TRIAL, {"autoscaling": {"enabled": True, "minReplicas": 2}}).has("PodDisruptionBudget")


def test_replicas_of_a_lost_node_are_replaced_soon() -> None:
    tolerations = render(TRIAL, {"nodeLossSeconds": 7, "tolerations": [{"key": "mine"}]}).pod["tolerations"]
    assert {each["key"]: each.get("tolerationSeconds") for each in tolerations} == {
        "node.kubernetes.io/not-ready": 7,
        "node.kubernetes.io/unreachable": 7,
        "mine": None,
    }


def test_a_stopping_pod_is_given_time_to_leave_the_service_and_to_finish() -> None:
    rendered = render(TRIAL)
    before = rendered.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = rendered.settings["drain_seconds"]
    requests = jobs = 20  # the server's default of shutdown_grace_seconds
    assert (before, drain) == (2, 3)
    assert rendered.pod["terminationGracePeriodSeconds"] > before + drain + requests + jobs


def test_a_pod_need_not_sleep_before_it_stops() -> None:
    assert "lifecycle" not in render(TRIAL, {"preStopSleepSeconds": 0}).container


def test_who_is_alive_and_who_is_ready_are_asked_at_the_port_of_the_server() -> None:
    rendered = render(TRIAL)
    probes = {name: rendered.container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    paths = {name: (probe["httpGet"]["path"], probe["httpGet"]["port"]) for name, probe in probes.items()}
    assert paths == {
        "startup": ("/healthz", "http"),
        "liveness": ("/healthz", "http"),
        "readiness": ("/readyz", "http"),
    }
    assert rendered.container["ports"] == [{"name": "http", "containerPort": rendered.settings["http_port"]}]


def test_the_numbers_of_probes_can_be_chosen() -> None:
    values = {"readinessProbe": {"periodSeconds": 9}, "startupProbe": {"initialDelaySeconds": 3}}
    container = render(TRIAL, values).container
    assert (container["readinessProbe"]["periodSeconds"], container["readinessProbe"]["failureThreshold"]) == (9, 2)
    assert container["startupProbe"]["initialDelaySeconds"] == 3

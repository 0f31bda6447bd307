"""Members that survive a node, a drain and a rollout, and the ways that lead to them."""

import pytest

from unit.helm.chart import Object, Values, needs_helm
from unit.helm.postgresql_ha.cluster import DOMAIN, NO_TLS, RELEASE, render

pytestmark = needs_helm


def test_each_of_three_members_has_a_volume_of_its_own() -> None:
    spec = render().get("StatefulSet")["spec"]
    assert spec["replicas"] == 3
    (claim,) = spec["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"
    (mount,) = (each for each in render().container["volumeMounts"] if each["name"] == "data")
    assert render().patroni["postgresql"]["data_dir"].startswith(mount["mountPath"] + "/")


def test_members_come_back_in_any_order() -> None:
    """Else an outage of the first one's node would keep all others from starting."""
    assert render().get("StatefulSet")["spec"]["podManagementPolicy"] == "Parallel"


def test_a_rollout_waits_until_a_member_can_be_in_step_again() -> None:
    spec = render({"failover": {"loopWaitSeconds": 4}}).get("StatefulSet")["spec"]
    assert spec["updateStrategy"] == {"type": "RollingUpdate"}
    assert spec["minReadySeconds"] == 8


def test_members_are_on_different_nodes_and_rather_in_different_zones() -> None:
    pod = render().pod
    (term,) = pod["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    (zones,) = pod["topologySpreadConstraints"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert (zones["topologyKey"], zones["whenUnsatisfiable"]) == ("topology.kubernetes.io/zone", "ScheduleAnyway")


def test_how_strictly_members_are_apart_can_be_chosen() -> None:
    pod = render({"antiAffinity": "preferred", "topologySpread": {"zones": "DoNotSchedule"}}).pod
    assert pod["affinity"]["podAntiAffinity"].keys() == {"preferredDuringSchedulingIgnoredDuringExecution"}
    assert pod["topologySpreadConstraints"][0]["whenUnsatisfiable"] == "DoNotSchedule"


def test_drains_take_one_member_at_a_time() -> None:
    budget = render().get("PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    labels = render().get("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert budget["selector"]["matchLabels"].items() <= labels.items()


ONE: Values = {"replicaCount": 1}


@pytest.mark.parametrize("values", [ONE, {"podDisruptionBudget": {"enabled": False}}])
def test_no_budget_blocks_a_drain_for_ever(values: Values) -> None:
    assert not render(values).has("PodDisruptionBudget")


def test_the_service_of_the_primary_is_led_by_the_lock() -> None:
    service = render().get("Service")
    assert "selector" not in service["spec"]  # Patroni writes the address into the Endpoints of this name
    assert service["spec"]["ports"][0]["port"] == 5432
    patroni = render().patroni
    assert (patroni["scope"], patroni["kubernetes"]["use_endpoints"]) == (service["metadata"]["name"], True)
    assert [each["name"] for each in patroni["kubernetes"]["ports"]] == [service["spec"]["ports"][0]["name"]]


@pytest.mark.parametrize("state", ["config", "sync", "failover"])
def test_no_state_of_patroni_is_taken_for_a_left_over(state: str) -> None:
    """Kubernetes deletes Endpoints that have no Service."""
    service = render().get("Service", f"{RELEASE}-{state}")
    assert service["spec"] == {"clusterIP": "None"}


@pytest.mark.parametrize("name", [RELEASE, *(f"{RELEASE}-{state}" for state in ("config", "sync", "failover"))])
def test_the_state_outlives_the_release_as_the_volumes_do(name: str) -> None:
    annotations = render().get("Service", name)["metadata"]["annotations"]
    assert annotations["helm.sh/resource-policy"] == "keep"


def test_replicas_are_reached_by_the_role_that_patroni_notes_on_their_pods() -> None:
    rendered = render()
    selector = rendered.get("Service", f"{RELEASE}-replicas")["spec"]["selector"]
    labels = rendered.get("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= (labels | {rendered.patroni["kubernetes"]["role_label"]: "replica"}).items()
    assert not selector.items() <= labels.items()


def test_members_have_names_before_they_are_ready() -> None:
    rendered = render()
    service = rendered.get("Service", f"{RELEASE}-members")
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert rendered.get("StatefulSet")["spec"]["serviceName"] == f"{RELEASE}-members"
    assert environment(rendered.container)["MEMBER_HOST"] == f"$(PATRONI_NAME).{RELEASE}-members.{DOMAIN}"


def environment(container: Object) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_nothing_but_members_looks_like_one_to_patroni() -> None:
    rendered = render({"pooler": {"enabled": True}})
    kubernetes = rendered.patroni["kubernetes"]
    wanted = kubernetes["labels"] | {kubernetes["scope_label"]: RELEASE}
    labelled = {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["labels"] for each in rendered}
    labelled |= {
        f"pod of {each['kind']} {each['metadata']['name']}": each["spec"]["template"]["metadata"]["labels"]
        for each in rendered
        if "template" in each.get("spec", {})
    }
    assert [name for name, labels in labelled.items() if wanted.items() <= labels.items()] == [
        f"pod of StatefulSet {RELEASE}"
    ]


@pytest.mark.parametrize(("values", "scheme"), [({}, "HTTPS"), (NO_TLS, "HTTP")])
def test_patroni_is_asked_who_is_alive_and_who_is_ready(values: Values, scheme: str) -> None:
    container = render(values).container
    asked = {name: container[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {name: each["path"] for name, each in asked.items()} == {
        "startup": "/liveness",
        "liveness": "/liveness",
        "readiness": "/readiness",
    }
    assert {(each["port"], each["scheme"]) for each in asked.values()} == {("patroni", scheme)}
    assert {"name": "patroni", "containerPort": 8008} in container["ports"]


def test_a_stopping_member_is_given_time_to_hand_over_and_to_finish() -> None:
    rendered = render({"handOverSeconds": 20, "terminationGracePeriodSeconds": 50})
    (_, _, command) = rendered.container["lifecycle"]["preStop"]["exec"]["command"]
    assert "/scripts/hand_over.py 20" in command
    assert rendered.pod["terminationGracePeriodSeconds"] == 50
    assert "lifecycle" not in render({"handOverSeconds": 0}).container


def test_members_of_a_lost_node_are_given_up_soon() -> None:
    tolerations = render({"nodeLossSeconds": 7, "tolerations": [{"key": "mine"}]}).pod["tolerations"]
    assert {each["key"]: each.get("tolerationSeconds") for each in tolerations} == {
        "node.kubernetes.io/not-ready": 7,
        "node.kubernetes.io/unreachable": 7,
        "mine": None,
    }


def test_a_changed_configuration_replaces_the_members() -> None:
    def annotations(*values: Values) -> Object:
        return dict(render(*values).get("StatefulSet")["spec"]["template"]["metadata"]["annotations"])

    assert annotations() == annotations({"service": {"annotations": {"a": "b"}}})
    assert annotations() != annotations({"postgresql": {"parameters": {"work_mem": "8MB"}}})


def test_a_volume_of_root_s_is_handed_over_only_if_that_is_asked_for() -> None:
    assert "initContainers" not in render().pod
    (container,) = render({"persistence": {"takeOwnership": True}}).pod["initContainers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}


def test_what_a_person_adds_reaches_the_pods() -> None:
    rendered = render(
        {
            "image": {"repository": "registry.example.com/postgresql", "tag": "16", "pullPolicy": "Always"},
            "imagePullSecrets": [{"name": "registry"}],
            "persistence": {"size": "5Gi", "storageClass": "fast"},
            "podAnnotations": {"a": "1"},
            "podLabels": {"b": "2"},
            "nodeSelector": {"c": "3"},
            "priorityClassName": "high",
            "resources": {"requests": {"cpu": "1"}},
            "service": {"type": "NodePort", "nodePort": 30432, "annotations": {"d": "4"}},
        }
    )
    metadata = rendered.get("StatefulSet")["spec"]["template"]["metadata"]
    assert metadata["annotations"]["a"] == "1"
    assert metadata["labels"]["b"] == "2"
    assert (rendered.pod["nodeSelector"], rendered.pod["priorityClassName"]) == ({"c": "3"}, "high")
    assert rendered.pod["imagePullSecrets"] == [{"name": "registry"}]
    assert rendered.container["image"] == "registry.example.com/postgresql:16"
    assert rendered.container["imagePullPolicy"] == "Always"
    assert rendered.container["resources"]["requests"]["cpu"] == "1"
    (claim,) = rendered.get("StatefulSet")["spec"]["volumeClaimTemplates"]
    assert (claim["spec"]["storageClassName"], claim["spec"]["resources"]["requests"]["storage"]) == ("fast", "5Gi")
    service = rendered.get("Service")
    assert (service["spec"]["type"], service["spec"]["ports"][0]["nodePort"]) == ("NodePort", 30432)
    assert service["metadata"]["annotations"]["d"] == "4"


def test_another_release_shares_no_name_with_this_one() -> None:
    def names(release: str) -> set[str]:
        return {each["metadata"]["name"] for each in render({"pooler": {"enabled": True}}, release=release)}

    assert not names(RELEASE) & names("other")

"""Whatever is rendered, the Kubernetes API accepts; and the values say what they are for."""

import subprocess

import pytest

from unit.helm.chart import Object, Values, defaults, find_helm, needs_helm, schema
from unit.helm.kubernetes_schemas import NEWEST, OLDEST, problems
from unit.helm.postgresql_ha.cluster import CHART, DUMPS, METRICS, NO_TLS, OWN_SECRETS, POOLER, RELEASE, render

pytestmark = needs_helm

OWN = {"PodMonitor", "PrometheusRule"}  # of the Prometheus operator: not among Kubernetes' schemas

EVERYTHING_ON: Values = {
    "imagePullSecrets": [{"name": "registry"}],
    "persistence": {"storageClass": "fast", "takeOwnership": True},
    "service": {"type": "NodePort", "nodePort": 30432, "annotations": {"a": "b"}},
    "networkPolicy": {"clientsFrom": [{"podSelector": {}}], "metricsFrom": [{"podSelector": {}}]},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "priorityClassName": "high",
}
EVERYTHING_OFF: Values = {
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False, "name": "mine"},
    "rbac": {"create": False},
    "handOverSeconds": 0,
    "antiAffinity": "preferred",
    "resources": {"limits": None, "requests": None},
}
SETS: dict[str, tuple[Values, ...]] = {
    "defaults": (),
    "one member": ({"replicaCount": 1},),
    "everything on": (POOLER, METRICS, DUMPS, EVERYTHING_ON),
    "everything off": (NO_TLS, EVERYTHING_OFF),
    "secrets of your own": (OWN_SECRETS, POOLER, METRICS, DUMPS),
}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", SETS)
def test_every_object_is_valid(name: str, version: str) -> None:
    objects = [each for each in render(*SETS[name]) if each["kind"] not in OWN]
    amiss = {f"{each['kind']} {each['metadata']['name']}": problems(each, version) for each in objects}
    assert {name: found for name, found in amiss.items() if found} == {}


@pytest.mark.parametrize("name", SETS)
def test_every_object_is_named_once_and_labelled_as_of_the_release(name: str) -> None:
    rendered = render(*SETS[name])
    named = [(each["kind"], each["metadata"]["name"]) for each in rendered]
    assert len(named) == len(set(named))
    for each in rendered:
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "postgresql-ha"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == RELEASE


def test_helm_finds_nothing_to_complain_about() -> None:
    helm = find_helm()
    assert helm is not None
    command = [helm, "lint", "--strict", "--quiet", str(CHART)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_every_value_can_be_changed_and_none_is_unknown() -> None:
    """The schema and the defaults name the same values, but for those whose default is another's."""
    optional = {"global", "initialDelaySeconds", "successThreshold"}

    def compare(values: Object, properties: Object, path: str) -> None:
        assert values.keys() == properties.keys() - optional, path
        for name, value in values.items():
            if "properties" in properties[name]:
                compare(value, properties[name]["properties"], f"{path}.{name}")

    compare(defaults(CHART), schema(CHART)["properties"], "values")


def test_every_paragraph_of_the_values_says_what_they_are_for() -> None:
    _, *paragraphs = (CHART / "values.yaml").read_text(encoding="utf-8").removeprefix("---\n").split("\n\n")
    assert [each for each in paragraphs if "#" not in each] == []

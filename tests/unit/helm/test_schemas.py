"""Whatever is rendered, the Kubernetes API accepts: of the oldest version that the chart is for, and of a newer one."""

import json
import subprocess

import pytest

from unit.helm.chart import CHART, EXTERNAL, TRIAL, Values, find_helm, needs_helm, render
from unit.helm.kubernetes_schemas import NEWEST, OLDEST, problems

pytestmark = needs_helm

OWN = {"ServiceMonitor"}  # of the Prometheus operator: not among Kubernetes' schemas

EVERYTHING_ON: Values = {
    "autoscaling": {"enabled": True, "behavior": {"scaleUp": {"stabilizationWindowSeconds": 0}}},
    "imagePullSecrets": [{"name": "registry"}],
    "command": ["catalog-server", "serve"],
    "sources": {"files": {"sources.yaml": "catalogs: []"}},
    "ingress": {"enabled": True, "hosts": ["a.example.com"], "tlsSecret": "tls", "className": "nginx"},
    "serviceMonitor": {"enabled": True},
    "networkPolicy": {"ingressFrom": [{"podSelector": {}}], "egress": [{"ports": [{"port": 5432}]}]},
    "service": {"type": "NodePort", "nodePort": 30080, "annotations": {"a": "b"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "nodeSelector": {"a": "b"},
    "tolerations": [{"key": "a", "operator": "Exists"}],
    "priorityClassName": "high",
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
    "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca"}],
}
EVERYTHING_OFF: Values = {
    "auth": {"enabled": False},
    "leadership": {"backend": "database"},
    "state": {"enabled": False},
    "podDisruptionBudget": {"enabled": False},
    "networkPolicy": {"enabled": False},
    "serviceAccount": {"create": False, "name": "mine"},
    "rbac": {"create": False},
    "preStopSleepSeconds": 0,
    "resources": {"limits": None, "requests": None},
}
TRIAL_ON: Values = {
    "postgresql": {
        "enabled": True,
        "service": {"type": "NodePort", "nodePort": 30432},
        "persistence": {"storageClass": "fast", "takeOwnership": True},
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
    }
}
TRIAL_OFF: Values = {"postgresql": {"enabled": True, "persistence": {"enabled": False}}}
JOB: Values = {
    "migrations": {"mode": "job"},
    "externalDatabase": {"migrationsDsnKey": "direct", "readDsnKey": "standby"},
}
SETS: dict[str, tuple[Values, ...]] = {
    "defaults with a trial database": (TRIAL,),
    "defaults with an external database": (EXTERNAL,),
    "everything on, trial": (TRIAL_ON, EVERYTHING_ON),
    "everything on, external": (EXTERNAL, JOB, EVERYTHING_ON),
    "everything off, trial": (TRIAL_OFF, EVERYTHING_OFF),
    "everything off, external": (EXTERNAL, EVERYTHING_OFF),
}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", SETS)
def test_every_object_is_valid(name: str, version: str) -> None:
    objects = [each for each in render(*SETS[name]) if each["kind"] not in OWN]
    amiss = {f"{each['kind']} {each['metadata']['name']}": problems(each, version) for each in objects}
    assert {name: found for name, found in amiss.items() if found} == {}


def test_the_validation_itself_finds_what_is_wrong() -> None:
    document = json.loads(json.dumps(render(TRIAL).get("Deployment")))
    document["spec"]["template"]["spec"]["containers"][0]["livenessProb"] = {}
    assert problems(document, NEWEST)


@pytest.mark.parametrize("name", SETS)
def test_every_object_is_named_once_and_labelled_as_of_the_release(name: str) -> None:
    rendered = render(*SETS[name])
    named = [(each["kind"], each["metadata"]["name"]) for each in rendered]
    assert len(named) == len(set(named))
    for each in rendered:
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "catalog-server"
        assert each["metadata"]["labels"]["app.kubernetes.io/instance"] == "catalog-server"


def test_helm_finds_nothing_to_complain_about() -> None:
    helm = find_helm()
    assert helm is not None
    command = [helm, "lint", "--strict", "--quiet", str(CHART), "--set", "postgresql.enabled=true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


def test_every_paragraph_of_the_values_says_what_they_are_for() -> None:
    _, *paragraphs = (CHART / "values.yaml").read_text(encoding="utf-8").removeprefix("---\n").split("\n\n")
    assert [each for each in paragraphs if "#" not in each] == []

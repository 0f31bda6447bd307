"""Wrong values are refused with the field, its value and the remedy, before anything changes."""

import functools
from typing import Any

import pytest

from unit.helm.chart import EXTERNAL, TRIAL, Refused, Values, needs_helm, render

pytestmark = needs_helm

AUTOSCALED: Values = {"autoscaling": {"enabled": True}}

# By the schema, which tells all of them at once.
WRONG: dict[str, Any] = {
    "replicaCount": "three",
    "replicas": 3,
    "image": {"tag": "a b", "name": "catalog-server", "pullPolicy": "always"},
    "command": "serve",
    "settings": {"log_levle": "info", "refresh_interval_seconds": [5]},
    "sources": {"files": {"a/b.yaml": ""}},
    "auth": {"enabled": "yes", "existingSecret": "No_Name"},
    "externalDatabase": {"dsn": "postgresql://catalog@db/catalog", "dsnKey": "", "readDsnKey": "a b"},
    "postgresql": {"enabled": 1, "service": {"type": "LoadBalancer", "nodePort": 80}, "persistence": {"size": "1"}},
    "migrations": {"mode": "never", "jobTimeoutSeconds": 0},
    "leadership": {"backend": "none"},
    "state": {"enabled": None, "name": "x"},
    "service": {"type": "ExternalName", "port": 0},
    "ingress": {"hosts": ["Not A Host"], "enabled": "on"},
    "autoscaling": {
        "minReplicas": 1,
        "maxReplicas": 1000,
        "targetCPUUtilizationPercentage": 0,
        "behavior": {"scaleOut": {}},
    },
    "podDisruptionBudget": {"minAvailable": "50%"},
    "networkPolicy": {"egress": {}},
    "serviceMonitor": {"interval": "15"},
    "serviceAccount": {"create": "no"},
    "rbac": {"enabled": True},
    "drainSeconds": -1,
    "terminationGracePeriodSeconds": 0,
    "topologySpread": {"hosts": "Never"},
    "livenessProbe": {"successThreshold": 2, "periodSeconds": 0},
    "podLabels": {"a": 1},
    "tolerations": {"key": "x"},
}


@functools.lru_cache
def told() -> list[str]:
    with pytest.raises(Refused) as refused:
        render(WRONG)
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/replicaCount", "got string, want integer"),
        ("", "'replicas' not allowed"),
        ("/image/tag", "a b"),
        ("/image", "'name' not allowed"),
        ("/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"),
        ("/command", "want array"),
        ("/settings", "'log_levle' not allowed"),
        ("/settings/refresh_interval_seconds", "got array"),
        ("/sources/files", "'a/b.yaml' not allowed"),
        ("/auth/enabled", "want boolean"),
        ("/auth/existingSecret", "No_Name"),
        ("/externalDatabase", "'dsn' not allowed"),
        ("/externalDatabase/dsnKey", "does not match"),
        ("/externalDatabase/readDsnKey", "does not match"),
        ("/postgresql/enabled", "want boolean"),
        ("/postgresql/service/type", "'ClusterIP', 'NodePort'"),
        ("/postgresql/service/nodePort", "30,000"),
        ("/postgresql/persistence/size", "does not match"),
        ("/migrations/mode", "'replicas', 'job'"),
        ("/migrations/jobTimeoutSeconds", "minimum"),
        ("/leadership/backend", "'kubernetes', 'database'"),
        ("/state", "'name' not allowed"),
        ("/service/type", "'ClusterIP', 'NodePort', 'LoadBalancer'"),
        ("/service/port", "minimum"),
        ("/ingress/hosts/0", "Not A Host"),
        ("/autoscaling/minReplicas", "minimum"),
        ("/autoscaling/maxReplicas", "maximum"),
        ("/autoscaling/behavior", "'scaleOut' not allowed"),
        ("/podDisruptionBudget/minAvailable", "want integer"),
        ("/networkPolicy/egress", "want array"),
        ("/serviceMonitor/interval", "'15'"),
        ("/serviceAccount/create", "want boolean"),
        ("/rbac", "'enabled' not allowed"),
        ("/drainSeconds", "minimum"),
        ("/terminationGracePeriodSeconds", "minimum"),
        ("/topologySpread/hosts", "'DoNotSchedule', 'ScheduleAnyway'"),
        ("/livenessProbe", "'successThreshold' not allowed"),
        ("/podLabels/a", "want string"),
        ("/tolerations", "want array"),
    ],
)
def test_a_value_that_can_not_be_is_named_with_what_could(place: str, words: str) -> None:
    lines = [line for line in told() if f"at '{place}'" in line]
    assert any(words in line for line in lines), lines or told()


# By the templates: values that do not fit together.
MISFITS: dict[str, tuple[tuple[Values, ...], str, str]] = {
    "no database": ((), "externalDatabase.existingSecret is empty", "postgresql.enabled=true"),
    "two databases": ((TRIAL, EXTERNAL), "externalDatabase.existingSecret = my-database", "Leave out one"),
    "pooler before the trial database": (
        (TRIAL, {"externalDatabase": {"migrationsDsnKey": "direct"}}),
        "externalDatabase.migrationsDsnKey = direct",
        "Leave it out",
    ),
    "reads from a replica of the trial database": (
        (TRIAL, {"externalDatabase": {"readDsnKey": "standby"}}),
        "externalDatabase.readDsnKey = standby",
        "Leave it out",
    ),
    "address for reads in a ConfigMap": (
        (TRIAL, {"settings": {"read_dsn": "postgresql://reader:hunter2@standby/catalog"}}),
        "settings.read_dsn",
        "use externalDatabase.readDsnKey",
    ),
    "authority of the trial database": (
        (TRIAL, {"externalDatabase": {"caKey": "ca.crt"}}),
        "externalDatabase.caKey = ca.crt",
        "Leave it out",
    ),
    "job before the trial database": (
        (TRIAL, {"migrations": {"mode": "job"}}),
        "migrations.mode = job",
        "migrations.mode=replicas",
    ),
    "node port of a trial database without one": (
        (TRIAL, {"postgresql": {"service": {"nodePort": 30432}}}),
        "postgresql.service.nodePort = 30432",
        "postgresql.service.type=NodePort",
    ),
    "node port of a service without one": (
        (TRIAL, {"service": {"nodePort": 30080}}),
        "service.nodePort = 30080",
        "service.type=NodePort",
    ),
    "sources twice": (
        (TRIAL, {"sources": {"files": {"sources.yaml": ""}, "existingConfigMap": "mine"}}),
        "sources.existingConfigMap = mine",
        "Leave out one",
    ),
    "sources without sources.yaml": (
        (TRIAL, {"sources": {"files": {"b.yaml": "", "a.yaml": ""}}}),
        "sources.files = a.yaml, b.yaml",
        "none of them is sources.yaml",
    ),
    "one replica to autoscale": ((TRIAL, AUTOSCALED, {"replicaCount": 1}), "replicaCount = 1", "autoscaling.enabled"),
    "more at least than at most": (
        (TRIAL, AUTOSCALED, {"autoscaling": {"minReplicas": 5, "maxReplicas": 4}}),
        "autoscaling.minReplicas = 5",
        "Lower the first",
    ),
    "percent of nothing": (
        (TRIAL, AUTOSCALED, {"resources": {"requests": {"memory": None}}}),
        "resources.requests.memory is not set",
        "Set it",
    ),
    "state beside no Lease": (
        (TRIAL, {"leadership": {"backend": "database"}}),
        "leadership.backend = database",
        "state.enabled=false",
    ),
    "killed while it finishes": (
        (TRIAL, {"terminationGracePeriodSeconds": 45}),
        "terminationGracePeriodSeconds = 45",
        "more than 45",
    ),
    "killed during a long drain": (
        (TRIAL, {"drainSeconds": 60}),
        "terminationGracePeriodSeconds = 60",
        "more than 102",
    ),
    "killed during a long grace": (
        (TRIAL, {"settings": {"shutdown_grace_seconds": 27.5}}),
        "terminationGracePeriodSeconds = 60",
        "settings.shutdown_grace_seconds (27.5)",
    ),
    "token secret without tokens": (
        (TRIAL, {"auth": {"enabled": False, "existingSecret": "mine"}}),
        "auth.existingSecret = mine",
        "auth.enabled=true",
    ),
    "reads with tokens that nobody has": (
        (TRIAL, {"auth": {"enabled": False}, "settings": {"auth_reads": True}}),
        "settings.auth_reads = true",
        "auth.enabled=true",
    ),
    "account that is nobody": (
        (TRIAL, {"serviceAccount": {"create": False}}),
        "serviceAccount.name is empty",
        "must name an account",
    ),
    "ingress to nowhere": ((TRIAL, {"ingress": {"enabled": True}}), "ingress.hosts is empty", "at least one host"),
    "secret in a ConfigMap": (
        (TRIAL, {"settings": {"auth_secret": "hunter2"}}),
        "settings.auth_secret",
        "use auth.existingSecret",
    ),
    "setting of another value": (
        (TRIAL, {"settings": {"drain_seconds": 5}}),
        "settings.drain_seconds",
        "use drainSeconds",
    ),
    "setting that is the chart's": (
        (TRIAL, {"settings": {"leadership_lease_name": "x"}}),
        "settings.leadership_lease_name",
        "Remove it",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_values_that_do_not_fit_together_are_refused_with_the_remedy(case: str) -> None:
    values, field, remedy = MISFITS[case]
    with pytest.raises(Refused) as refused:
        render(*values)
    assert field in str(refused.value)
    assert remedy in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_grace_that_just_suffices_is_accepted() -> None:
    assert render(TRIAL, {"terminationGracePeriodSeconds": 46}).pod["terminationGracePeriodSeconds"] == 46

"""Wrong values are refused with the field, its value and the remedy, before anything changes."""

import functools
from typing import Any

import pytest

from unit.helm.chart import Refused, Values, needs_helm
from unit.helm.postgresql_ha.cluster import POOLER, render

pytestmark = needs_helm

# By the schema, which tells all of them at once.
WRONG: dict[str, Any] = {
    "replicaCount": 0,
    "replicas": 3,
    "image": {"tag": "a b", "pullPolicy": "always"},
    "clusterDomain": "Cluster Local",
    "database": {"name": "Catalog", "owner": "a-b", "sslRootCert": "ca.crt"},
    "auth": {"existingSecret": "No_Name", "password": "x"},
    "replication": {"mode": "on", "synchronousMembers": 0},
    "failover": {"ttlSeconds": 4, "loopWaitSeconds": "5s", "retryTimeoutSeconds": 2},
    "postgresql": {"parameters": {"work_mem": ["8MB"], "Work Mem": "8MB"}},
    "persistence": {"size": "10"},
    "tls": {"enabled": "yes", "caCertificate": "mine"},
    "service": {"type": "ExternalName", "nodePort": 80},
    "pooler": {"replicaCount": 0, "poolSize": 0},
    "metrics": {"podMonitor": {"interval": "15"}, "prometheusRule": {"lagSeconds": 0}},
    "networkPolicy": {"clientsFrom": {}},
    "handOverSeconds": -1,
    "antiAffinity": "never",
    "topologySpread": {"zones": "Never"},
    "livenessProbe": {"successThreshold": 2},
    "resources": {"limit": {}},
}


@functools.lru_cache
def told() -> list[str]:
    with pytest.raises(Refused) as refused:
        render(WRONG)
    return str(refused.value).splitlines()


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("/replicaCount", "minimum"),
        ("", "'replicas' not allowed"),
        ("/image/tag", "a b"),
        ("/image/pullPolicy", "'Always', 'IfNotPresent', 'Never'"),
        ("/clusterDomain", "does not match"),
        ("/database/name", "Catalog"),
        ("/database/owner", "a-b"),
        ("/database/sslRootCert", "ca.crt"),
        ("/auth/existingSecret", "No_Name"),
        ("/auth", "'password' not allowed"),
        ("/replication/mode", "'synchronous', 'strict', 'asynchronous'"),
        ("/replication/synchronousMembers", "minimum"),
        ("/failover/ttlSeconds", "minimum"),
        ("/failover/loopWaitSeconds", "want integer"),
        ("/failover/retryTimeoutSeconds", "minimum"),
        ("/postgresql/parameters/work_mem", "got array"),
        ("/postgresql/parameters", "'Work Mem' not allowed"),
        ("/persistence/size", "'10'"),
        ("/tls/enabled", "want boolean"),
        ("/tls/caCertificate", "mine"),
        ("/service/type", "'ClusterIP', 'NodePort', 'LoadBalancer'"),
        ("/service/nodePort", "30,000"),
        ("/pooler/replicaCount", "minimum"),
        ("/pooler/poolSize", "minimum"),
        ("/metrics/podMonitor/interval", "'15'"),
        ("/metrics/prometheusRule/lagSeconds", "minimum"),
        ("/networkPolicy/clientsFrom", "want array"),
        ("/handOverSeconds", "minimum"),
        ("/antiAffinity", "'required', 'preferred'"),
        ("/topologySpread/zones", "'DoNotSchedule', 'ScheduleAnyway'"),
        ("/livenessProbe", "'successThreshold' not allowed"),
        ("/resources", "'limit' not allowed"),
    ],
)
def test_a_value_that_can_not_be_is_named_with_what_could(place: str, words: str) -> None:
    lines = [line for line in told() if f"at '{place}'" in line]
    assert any(words in line for line in lines), lines or told()


def parameter(name: str, value: Any) -> Values:
    return {"postgresql": {"parameters": {name: value}}}


# By the templates: values that do not fit together.
MISFITS: dict[str, tuple[tuple[Values, ...], str, str]] = {
    "a lock that is lost while it is renewed": (
        ({"failover": {"ttlSeconds": 14}},),
        "failover.ttlSeconds = 14",
        "15 or more",
    ),
    "a lock that is lost while a slow API is asked": (
        ({"failover": {"retryTimeoutSeconds": 8}},),
        "failover.ttlSeconds = 20",
        "21 or more",
    ),
    "more in step than there are": (
        ({"replication": {"synchronousMembers": 3}},),
        "replication.synchronousMembers = 3",
        "raise replicaCount",
    ),
    "strict alone": (
        ({"replicaCount": 1, "replication": {"mode": "strict"}},),
        "replication.mode = strict",
        "replication.mode=synchronous",
    ),
    "killed while it stops": (
        ({"terminationGracePeriodSeconds": 59},),
        "terminationGracePeriodSeconds = 59",
        "60 or more",
    ),
    "database of PostgreSQL's own": (({"database": {"name": "postgres"}},), "database.name = postgres", "another name"),
    "owner that is the superuser": (
        ({"database": {"owner": "postgres"}},),
        "database.owner = postgres",
        "another name",
    ),
    "owner that replicates": (({"database": {"owner": "replicator"}},), "database.owner = replicator", "another name"),
    "parameter of another value": (
        (parameter("synchronous_standby_names", "*"),),
        "postgresql.parameters.synchronous_standby_names = *",
        "use replication",
    ),
    "parameter that is the chart's": ((parameter("port", 5433),), "postgresql.parameters.port = 5433", "Remove it"),
    "data that are not kept whole": ((parameter("fsync", "off"),), "postgresql.parameters.fsync = off", "Remove it"),
    "too few senders": (
        (parameter("max_wal_senders", 3),),
        "postgresql.parameters.max_wal_senders = 3",
        "4 or more",
    ),
    "too few slots": (
        (parameter("max_replication_slots", 2),),
        "postgresql.parameters.max_replication_slots = 2",
        "4 or more",
    ),
    "poolers that take all connections": (
        (POOLER, {"pooler": {"poolSize": 100}}),
        "pooler.poolSize = 100",
        "max_connections (200)",
    ),
    "node port of a service without one": (
        ({"service": {"nodePort": 30432}},),
        "service.nodePort = 30432",
        "service.type=NodePort",
    ),
    "account that is nobody": (
        ({"serviceAccount": {"create": False}},),
        "serviceAccount.name is empty",
        "must name an account",
    ),
    "monitor without an exporter": (
        ({"metrics": {"podMonitor": {"enabled": True}}},),
        "metrics.podMonitor.enabled = true",
        "metrics.enabled=true",
    ),
    "alerts without an exporter": (
        ({"metrics": {"prometheusRule": {"enabled": True}}},),
        "metrics.prometheusRule.enabled = true",
        "metrics.enabled=true",
    ),
    "certificate without TLS": (
        ({"tls": {"enabled": False, "existingSecret": "mine"}},),
        "tls.existingSecret = mine",
        "tls.enabled=true",
    ),
    "certificate of an unknown authority": (
        ({"tls": {"existingSecret": "mine"}},),
        "tls.caCertificate is empty",
        "--set-file tls.caCertificate",
    ),
    "authority of nobody's certificate": (
        ({"tls": {"caCertificate": "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"}},),
        "tls.caCertificate is set",
        "name the Secret",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_values_that_do_not_fit_together_are_refused_with_the_remedy(case: str) -> None:
    values, field, remedy = MISFITS[case]
    with pytest.raises(Refused) as refused:
        render(*values)
    assert field in str(refused.value)
    assert remedy in str(refused.value)


def test_what_just_suffices_is_accepted() -> None:
    values: Values = {
        "failover": {"ttlSeconds": 15},
        "replication": {"synchronousMembers": 2},
        "terminationGracePeriodSeconds": 60,
        "postgresql": {"parameters": {"max_wal_senders": 4, "max_replication_slots": 4}},
        "pooler": {"enabled": True, "poolSize": 99},
    }
    assert render(values).configuration["ttl"] == 15

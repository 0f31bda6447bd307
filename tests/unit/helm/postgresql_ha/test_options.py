"""What is there only if it is asked for: the pooler, metrics and alerts; and the test of the release."""

import configparser
from typing import Any

import pytest
import yaml

from unit.helm.chart import Values, needs_helm
from unit.helm.postgresql_ha.cluster import (
    CHART,
    DOMAIN,
    METRICS,
    NO_TLS,
    OWN_SECRETS,
    POOLER,
    RELEASE,
    Cluster,
    render,
)

pytestmark = needs_helm


def pgbouncer(rendered: Cluster) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser()
    parsed.read_string(rendered.get("ConfigMap", f"{RELEASE}-pooler")["data"]["pgbouncer.ini"])
    return parsed


def test_there_is_no_pooler_unless_it_is_asked_for() -> None:
    assert not [each for each in render() if each["metadata"]["name"] == f"{RELEASE}-pooler"]


def test_poolers_share_connections_transaction_by_transaction() -> None:
    rendered = render(POOLER, {"pooler": {"poolSize": 7, "maxClientConnections": 70, "replicaCount": 3}})
    settings = pgbouncer(rendered)["pgbouncer"]
    assert settings["pool_mode"] == "transaction"
    assert (settings["default_pool_size"], settings["max_db_connections"], settings["max_client_conn"]) == (
        "7",
        "7",
        "70",
    )
    assert "options" in settings["ignore_startup_parameters"].split(",")  # the server sets its time-outs by it
    assert pgbouncer(rendered)["databases"]["catalog"] == f"host={RELEASE}.{DOMAIN} port=5432"
    assert rendered.get("Deployment", f"{RELEASE}-pooler")["spec"]["replicas"] == 3


def test_poolers_take_and_give_passwords_as_scram_over_tls() -> None:
    settings = pgbouncer(render(POOLER))["pgbouncer"]
    assert settings["auth_type"] == "scram-sha-256"
    assert (settings["client_tls_sslmode"], settings["server_tls_sslmode"]) == ("require", "verify-full")
    assert "client_tls_ca_file" in settings  # without one PgBouncer looks for that of the system, and ends
    assert not [name for name in pgbouncer(render(POOLER, NO_TLS))["pgbouncer"] if "tls" in name]


def test_a_pooler_that_stops_lets_transactions_finish() -> None:
    pod = render(POOLER).get("Deployment", f"{RELEASE}-pooler")["spec"]["template"]["spec"]
    assert "kill -INT 1" in pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2]


def test_the_service_of_the_pooler_finds_poolers_and_no_members() -> None:
    rendered = render(POOLER)
    selector = rendered.get("Service", f"{RELEASE}-pooler")["spec"]["selector"]
    pooler = rendered.get("Deployment", f"{RELEASE}-pooler")["spec"]["template"]["metadata"]["labels"]
    member = rendered.get("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= pooler.items()
    assert not selector.items() <= member.items()


def test_drains_leave_a_pooler_where_there_are_two() -> None:
    assert render(POOLER).has("PodDisruptionBudget", f"{RELEASE}-pooler")
    alone = render(POOLER, {"pooler": {"replicaCount": 1}})
    assert not alone.has("PodDisruptionBudget", f"{RELEASE}-pooler")


def test_there_is_no_exporter_unless_it_is_asked_for() -> None:
    assert [each["name"] for each in render().pod["containers"]] == ["postgresql"]
    assert not [each for each in render() if each["kind"] in ("PodMonitor", "PrometheusRule")]


def test_the_exporter_looks_as_a_role_that_may_do_nothing_else() -> None:
    (exporter,) = (each for each in render(METRICS).pod["containers"] if each["name"] == "exporter")
    environment = {each["name"]: each["value"] for each in exporter["env"]}
    assert environment["DATA_SOURCE_USER"] == "monitoring"
    assert environment["DATA_SOURCE_PASS_FILE"] == "/secrets/monitoring/monitoring_password"
    assert "host=/run/postgresql" in environment["DATA_SOURCE_URI"]
    mounts = {each["name"]: each["mountPath"] for each in exporter["volumeMounts"]}
    assert mounts["socket"] == render().patroni["postgresql"]["parameters"]["unix_socket_directories"]
    assert "passwords" not in mounts


def test_a_pod_monitor_reads_patroni_and_the_exporter() -> None:
    values: Values = {"metrics": {"podMonitor": {"interval": "5s", "labels": {"release": "prometheus"}}}}
    rendered = render(METRICS, values)
    monitor = rendered.get("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    endpoints = {each["port"]: each for each in monitor["spec"]["podMetricsEndpoints"]}
    assert (endpoints["patroni"]["scheme"], endpoints["metrics"].get("scheme")) == ("https", None)
    assert {each["interval"] for each in endpoints.values()} == {"5s"}
    ports = {port["name"] for container in rendered.pod["containers"] for port in container["ports"]}
    assert endpoints.keys() <= ports
    labels = rendered.get("StatefulSet")["spec"]["template"]["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert "scheme" not in render(METRICS, NO_TLS).get("PodMonitor")["spec"]["podMetricsEndpoints"][0]


def alerts(*values: Values) -> dict[str, Any]:
    (group,) = render(METRICS, *values).get("PrometheusRule")["spec"]["groups"]
    return {each["alert"]: each for each in group["rules"]}


def test_alerts_speak_of_this_cluster_alone() -> None:
    assert len(alerts()) == 9
    for name, alert in alerts().items():
        assert 'namespace="catalog"' in alert["expr"], name
        assert f'scope="{RELEASE}"' in alert["expr"] or f'pod=~"{RELEASE}-[0-9]+"' in alert["expr"], name
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert alert["annotations"]["summary"], name


def test_alerts_follow_the_values() -> None:
    rules: Values = {"metrics": {"prometheusRule": {"lagSeconds": 7, "retainedBytes": 123456789}}, "replicaCount": 5}
    found = alerts(rules)
    assert found["PostgresqlReplicaBehind"]["expr"].endswith("> 7")
    assert found["PostgresqlSlotHoldsBack"]["expr"].endswith("> 123456789")
    assert "< 5 or absent" in found["PostgresqlMemberMissing"]["expr"]
    assert "PostgresqlNoReplicaInStep" not in alerts({"replication": {"mode": "asynchronous"}})


def test_alerts_name_what_the_exporter_is_told_to_ask() -> None:
    queries = yaml.safe_load((CHART / "files" / "queries.yaml").read_text(encoding="utf-8"))
    told = {f"{name}_{column}" for name, query in queries.items() for each in query["metrics"] for column in each}
    used = {word for alert in alerts().values() for word in alert["expr"].replace("{", " ").split()}
    assert {word for word in used if word.startswith("postgresql_ha_")} <= told


@pytest.mark.parametrize(
    ("values", "members", "synchronous"),
    [({}, 3, "1"), ({"replicaCount": 1}, 1, "0"), ({"replication": {"mode": "asynchronous"}}, 3, "0")],
)
def test_the_test_of_the_release_asks_every_member(values: Values, members: int, synchronous: str) -> None:
    pod = render(values).get("Pod", f"{RELEASE}-test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    hosts, in_step, *addresses = pod["spec"]["containers"][0]["args"]
    assert len(hosts.split(",")) == members
    assert in_step == synchronous
    assert "/secrets/app/database_dsn" in addresses


def test_the_test_can_not_try_addresses_that_the_chart_does_not_know() -> None:
    pod = render(OWN_SECRETS).get("Pod", f"{RELEASE}-test")
    assert len(pod["spec"]["containers"][0]["args"]) == 2

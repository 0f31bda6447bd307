"""Who may do what: pods that can do little, a Role for two objects, policies, secrets, and ways in."""

import base64
import json

import pytest

from unit.helm.chart import EXTERNAL, RELEASE, TRIAL, Object, Rendered, Values, needs_helm, render

pytestmark = needs_helm

JOB: Values = {"migrations": {"mode": "job"}}
DATABASE = f"{RELEASE}-postgresql"


def pods(rendered: Rendered) -> dict[str, Object]:
    specs = {f"{each['kind']} {each['metadata']['name']}": each["spec"] for each in rendered if each["kind"] == "Pod"}
    for each in rendered:
        if "template" in each.get("spec", {}):
            specs[f"{each['kind']} {each['metadata']['name']}"] = each["spec"]["template"]["spec"]
    return specs


@pytest.mark.parametrize("values", [TRIAL, {**EXTERNAL, **JOB}], ids=["trial", "external"])
def test_no_pod_is_root_or_can_become_it_or_write_to_its_image(values: Values) -> None:
    specs = pods(render(values))
    assert len(specs) == 3
    for name, spec in specs.items():
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True, name
        assert security["runAsUser"] in (999, 10001), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, name
            assert container["resources"]["requests"], name


@pytest.mark.parametrize("values", [TRIAL, {**EXTERNAL, **JOB}], ids=["trial", "external"])
def test_the_replicas_alone_have_a_token_for_the_api(values: Values) -> None:
    rendered = render(values)
    holders = {name for name, spec in pods(rendered).items() if spec["automountServiceAccountToken"]}
    assert holders == {f"Deployment {RELEASE}"}
    assert rendered.get("ServiceAccount")["automountServiceAccountToken"] is False


def rules(rendered: Rendered) -> dict[tuple[str, str], set[str]]:
    """Verbs by resource and name, * for any name."""
    return {
        (resource, name): set(rule["verbs"])
        for rule in rendered.get("Role")["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
    }


def test_the_role_is_for_one_lease_and_one_configmap() -> None:
    rendered = render(TRIAL)
    assert rules(rendered) == {
        ("leases", "catalog-server"): {"get", "update"},
        ("leases", "*"): {"create"},
        ("configmaps", "catalog-server-state"): {"get", "update"},
        ("configmaps", "*"): {"create"},
    }
    assert rendered.settings["leadership_lease_name"] == "catalog-server"
    assert rendered.settings["state_configmap"] == "catalog-server-state"
    binding = rendered.get("RoleBinding")
    assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "catalog-server"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "catalog-server", "namespace": "catalog"}]
    assert not [each for each in rendered if each["kind"].startswith("Cluster")]


def test_a_state_that_is_not_recorded_needs_no_right() -> None:
    rendered = render(TRIAL, {"state": {"enabled": False}})
    assert rules(rendered) == {("leases", "catalog-server"): {"get", "update"}, ("leases", "*"): {"create"}}
    assert "state_configmap" not in rendered.settings


def test_a_lease_in_the_database_needs_neither_rights_nor_a_token() -> None:
    rendered = render(TRIAL, {"leadership": {"backend": "database"}, "state": {"enabled": False}})
    assert not rendered.has("Role")
    assert not rendered.has("RoleBinding")
    assert rendered.pod["automountServiceAccountToken"] is False
    assert rendered.settings["leadership_backend"] == "database"
    assert render(TRIAL).settings["leadership_backend"] == "kubernetes"


def test_the_role_can_be_left_to_others() -> None:
    rendered = render(TRIAL, {"rbac": {"create": False}})
    assert not rendered.has("Role")
    assert not rendered.has("RoleBinding")
    assert rendered.has("ServiceAccount")


def test_the_account_can_be_somebody_else_s() -> None:
    rendered = render(TRIAL, {"serviceAccount": {"create": False, "name": "mine"}})
    assert not rendered.has("ServiceAccount")
    assert rendered.pod["serviceAccountName"] == "mine"
    assert rendered.get("RoleBinding")["subjects"][0]["name"] == "mine"


def test_the_account_can_have_a_name_and_annotations() -> None:
    rendered = render(TRIAL, {"serviceAccount": {"name": "mine", "annotations": {"a": "b"}}})
    assert rendered.get("ServiceAccount", "mine")["metadata"]["annotations"] == {"a": "b"}
    assert rendered.pod["serviceAccountName"] == "mine"


def test_policies_admit_requests_to_the_server_and_the_server_alone_to_the_trial_database() -> None:
    rendered = render(TRIAL)
    assert rendered.get("NetworkPolicy")["spec"]["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    (rule,) = rendered.get("NetworkPolicy", DATABASE)["spec"]["ingress"]
    labels = rendered.get("Deployment")["spec"]["template"]["metadata"]["labels"]
    assert [each["podSelector"]["matchLabels"].items() <= labels.items() for each in rule["from"]] == [True]
    assert rendered.get("NetworkPolicy", DATABASE)["spec"]["egress"] == []


def test_a_trial_database_with_a_node_port_can_be_reached_through_it() -> None:
    rendered = render({"postgresql": {"enabled": True, "service": {"type": "NodePort", "nodePort": 30432}}})
    assert rendered.get("Service", DATABASE)["spec"]["ports"][0]["nodePort"] == 30432
    assert "from" not in rendered.get("NetworkPolicy", DATABASE)["spec"]["ingress"][0]


def test_policies_can_name_who_is_admitted_and_what_is_reached() -> None:
    peer, rule = {"podSelector": {"matchLabels": {"a": "b"}}}, {"ports": [{"port": 5432, "protocol": "TCP"}]}
    spec = render(TRIAL, {"networkPolicy": {"ingressFrom": [peer], "egress": [rule]}}).get("NetworkPolicy")["spec"]
    admitted = spec["ingress"][0]["from"]
    assert admitted[0] == peer
    assert admitted[1]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "test"
    assert rule in spec["egress"]
    assert {} not in spec["egress"]
    assert {} in render(TRIAL).get("NetworkPolicy")["spec"]["egress"]


def test_there_need_not_be_policies() -> None:
    rendered = render(TRIAL, {"networkPolicy": {"enabled": False}})
    assert not [each for each in rendered if each["kind"] == "NetworkPolicy"]


def decoded(rendered: Rendered, name: str) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in rendered.get("Secret", name)["data"].items()}


def test_secrets_are_drawn_long_and_are_nowhere_but_in_secrets() -> None:
    rendered = render(TRIAL)
    release, database = decoded(rendered, RELEASE), decoded(rendered, DATABASE)
    assert len(release["auth_secret"]) >= 32
    password = database["application_password"]
    assert release["database_dsn"] == f"postgresql://catalog:{password}@catalog-server-postgresql:5432/catalog"
    drawn = {release["auth_secret"], password, database["superuser_password"]}
    assert len(drawn) == 3
    assert min(map(len, drawn)) >= 32
    elsewhere = json.dumps([each for each in rendered if each["kind"] != "Secret"])
    assert not [each for each in drawn if each in elsewhere]


def secrets_of(spec: Object) -> dict[str, str]:
    return {each["name"]: each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}


def test_secrets_reach_the_server_as_files_that_others_can_not_read() -> None:
    rendered = render(TRIAL)
    assert secrets_of(rendered.pod) == {"database": RELEASE, "auth": RELEASE}
    environment = {each["name"]: each["value"] for each in rendered.container["env"]}
    assert environment["CATALOG_DATABASE_DSN_FILE"] == "/etc/catalog-server/database/database_dsn"
    assert environment["CATALOG_AUTH_SECRET_FILE"] == "/etc/catalog-server/auth/auth_secret"
    modes = [each["secret"]["defaultMode"] for each in rendered.pod["volumes"] if "secret" in each]
    assert modes == [0o440, 0o440]


def test_secrets_of_your_own_are_used_in_place_of_drawn_ones() -> None:
    rendered = render(EXTERNAL, {"auth": {"existingSecret": "my-token"}})
    assert not [each for each in rendered if each["kind"] == "Secret"]
    assert secrets_of(rendered.pod) == {"database": "my-database", "auth": "my-token"}


def test_the_keys_of_your_own_database_secret_can_be_named() -> None:
    keys = {"dsnKey": "uri", "migrationsDsnKey": "direct-uri"}
    rendered = render(EXTERNAL, {"externalDatabase": keys})
    (volume,) = (each for each in rendered.pod["volumes"] if each["name"] == "database")
    assert volume["secret"]["items"] == [
        {"key": "uri", "path": "database_dsn"},
        {"key": "direct-uri", "path": "migrations_dsn"},
    ]
    environment = {each["name"]: each["value"] for each in rendered.container["env"]}
    assert environment["CATALOG_MIGRATIONS_DSN_FILE"] == "/etc/catalog-server/database/migrations_dsn"


def test_the_authority_of_the_database_is_beside_its_address_where_there_is_one() -> None:
    def items(rendered: Rendered) -> list[Object]:
        (volume,) = (each for each in rendered.pod["volumes"] if each["name"] == "database")
        return list(volume["secret"]["items"])

    assert items(render(EXTERNAL)) == [{"key": "database_dsn", "path": "database_dsn"}]
    assert {"key": "authority", "path": "ca.crt"} in items(
        render(EXTERNAL, {"externalDatabase": {"caKey": "authority"}})
    )


def test_without_a_token_secret_nothing_of_it_is_left() -> None:
    rendered = render(EXTERNAL, {"auth": {"enabled": False}})
    assert not [each for each in rendered if each["kind"] == "Secret"]
    assert secrets_of(rendered.pod) == {"database": "my-database"}
    assert "CATALOG_AUTH_SECRET_FILE" not in {each["name"] for each in rendered.container["env"]}
    assert "volumes" not in rendered.get("Pod", f"{RELEASE}-test")["spec"]


def test_the_service_is_of_the_type_that_was_chosen() -> None:
    spec = render(TRIAL).get("Service")["spec"]
    assert (spec["type"], spec["ports"]) == ("ClusterIP", [{"name": "http", "port": 80, "targetPort": "http"}])
    values = {"service": {"type": "NodePort", "nodePort": 30080, "port": 8000, "annotations": {"a": "b"}}}
    service = render(TRIAL, values).get("Service")
    assert service["spec"]["type"] == "NodePort"
    assert service["spec"]["ports"] == [{"name": "http", "port": 8000, "targetPort": "http", "nodePort": 30080}]
    assert service["metadata"]["annotations"] == {"a": "b"}


def test_there_is_no_ingress_unless_it_is_asked_for() -> None:
    assert not render(TRIAL).has("Ingress")


def test_an_ingress_leads_each_host_to_the_service() -> None:
    hosts = ["catalog.example.com", "models.example.com"]
    values = {"enabled": True, "hosts": hosts, "className": "nginx", "tlsSecret": "my-tls", "annotations": {"a": "b"}}
    ingress = render(TRIAL, {"ingress": values}).get("Ingress")
    assert ingress["metadata"]["annotations"] == {"a": "b"}
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert ingress["spec"]["tls"] == [{"secretName": "my-tls", "hosts": hosts}]
    assert [each["host"] for each in ingress["spec"]["rules"]] == hosts
    for rule in ingress["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert path["backend"] == {"service": {"name": "catalog-server", "port": {"name": "http"}}}


def test_an_ingress_can_do_without_tls_and_class() -> None:
    spec = render(TRIAL, {"ingress": {"enabled": True, "hosts": ["catalog.example.com"]}}).get("Ingress")["spec"]
    assert "tls" not in spec
    assert "ingressClassName" not in spec


def test_a_service_monitor_finds_the_service() -> None:
    assert not render(TRIAL).has("ServiceMonitor")
    values = {"serviceMonitor": {"enabled": True, "interval": "5s", "labels": {"release": "prometheus"}}}
    rendered = render(TRIAL, values)
    monitor = rendered.get("ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    labels = rendered.get("Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert monitor["spec"]["endpoints"] == [{"port": "http", "path": "/metrics", "interval": "5s"}]

"""Who may do what: pods that can do little, a Role for what Patroni does, policies, passwords and certificates."""

import base64
import json
import ssl
from pathlib import Path

import pytest

from unit.helm.chart import Object, needs_helm
from unit.helm.postgresql_ha.cluster import (
    DOMAIN,
    DUMPS,
    METRICS,
    NO_TLS,
    OWN_SECRETS,
    POOLER,
    RELEASE,
    Cluster,
    render,
)

pytestmark = needs_helm

KEYS = {"owner_password", "replication_password", "rewind_password", "monitoring_password", "restapi_password"}


def pods(rendered: Cluster) -> dict[str, Object]:
    specs = {f"{each['kind']} {each['metadata']['name']}": each["spec"] for each in rendered if each["kind"] == "Pod"}
    for each in rendered:
        spec = each.get("spec", {})
        spec = spec["jobTemplate"]["spec"] if each["kind"] == "CronJob" else spec
        if "template" in spec:
            specs[f"{each['kind']} {each['metadata']['name']}"] = spec["template"]["spec"]
    return specs


def test_no_pod_is_root_or_can_become_it_or_write_to_its_image() -> None:
    specs = pods(render(POOLER, METRICS, DUMPS))
    assert len(specs) == 5
    for name, spec in specs.items():
        security = spec["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["fsGroup"]) == (True, 999, 999), name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }, name
            assert container["resources"]["requests"], name


def test_the_members_alone_have_a_token_for_the_api() -> None:
    specs = pods(render(POOLER, METRICS, DUMPS))
    assert {name for name, spec in specs.items() if spec["automountServiceAccountToken"]} == {f"StatefulSet {RELEASE}"}
    assert render().get("ServiceAccount")["automountServiceAccountToken"] is False


def rules(rendered: Cluster) -> dict[tuple[str, str], set[str]]:
    """Verbs by resource and name, * for any name."""
    return {
        (resource, name): set(rule["verbs"])
        for rule in rendered.get("Role")["rules"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames", ["*"])
    }


def test_the_role_is_for_the_objects_of_this_cluster_as_far_as_a_role_can_say_that() -> None:
    objects = {("endpoints", f"{RELEASE}{of}"): {"get", "patch"} for of in ("", "-config", "-sync", "-failover")}
    members = {("pods", f"{RELEASE}-{ordinal}"): {"patch"} for ordinal in range(3)}
    by_labels = {("endpoints", "*"): {"create", "list", "watch"}, ("pods", "*"): {"list", "watch"}}
    assert rules(render()) == objects | members | by_labels
    assert ("pods", f"{RELEASE}-4") in rules(render({"replicaCount": 5}))
    assert not [each for each in render() if each["kind"].startswith("Cluster")]


def test_the_role_is_bound_to_the_account_of_the_members() -> None:
    rendered = render({"serviceAccount": {"name": "mine", "annotations": {"a": "b"}}})
    assert rendered.get("ServiceAccount", "mine")["metadata"]["annotations"] == {"a": "b"}
    assert rendered.pod["serviceAccountName"] == "mine"
    assert rendered.get("RoleBinding")["subjects"] == [
        {"kind": "ServiceAccount", "name": "mine", "namespace": "catalog"}
    ]


def test_account_and_role_can_be_left_to_others() -> None:
    rendered = render({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}})
    assert not [each for each in rendered if each["kind"] in ("Role", "RoleBinding", "ServiceAccount")]
    assert rendered.pod["serviceAccountName"] == "mine"


def ingress(rendered: Cluster, port: str, name: str = RELEASE) -> Object:
    (found,) = (
        rule
        for rule in rendered.get("NetworkPolicy", name)["spec"]["ingress"]
        if port in [each["port"] for each in rule["ports"]]
    )
    return dict(found)


def components(peers: list[Object]) -> list[str]:
    labels = [each.get("podSelector", {}).get("matchLabels", {}) for each in peers]
    return [each["app.kubernetes.io/component"] for each in labels if "app.kubernetes.io/component" in each]


def test_postgresql_is_reached_from_the_pods_of_the_release_and_the_clients_that_are_named() -> None:
    client = {"podSelector": {"matchLabels": {"a": "b"}}}
    rule = ingress(render({"networkPolicy": {"clientsFrom": [client]}}), "postgresql")
    assert components(rule["from"]) == ["member", "pooler", "dumps", "test"]
    assert rule["from"][-1] == client
    assert {"podSelector": {}} in ingress(render(), "postgresql")["from"]


def test_through_a_node_port_everybody_reaches_it() -> None:
    assert "from" not in ingress(render({"service": {"type": "NodePort"}}), "postgresql")


def test_metrics_can_be_kept_to_some() -> None:
    reader = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    rule = ingress(render(METRICS, {"networkPolicy": {"metricsFrom": [reader]}}), "metrics")
    assert components(rule["from"]) == ["member", "test"]
    assert rule["from"][-1] == reader
    assert [each["port"] for each in rule["ports"]] == ["patroni", "metrics"]
    assert "from" not in ingress(render(), "patroni")


def test_members_reach_names_the_api_and_each_other_and_nothing_else() -> None:
    first, second = render().get("NetworkPolicy")["spec"]["egress"]
    assert {each["port"] for each in first["ports"]} == {53, 443, 6443}
    assert components(second["to"]) == ["member"]
    assert {each["port"] for each in second["ports"]} == {5432, 8008}


def test_poolers_reach_names_and_members_alone() -> None:
    rendered = render(POOLER)
    first, second = rendered.get("NetworkPolicy", f"{RELEASE}-pooler")["spec"]["egress"]
    assert {each["port"] for each in first["ports"]} == {53}
    assert (components(second["to"]), [each["port"] for each in second["ports"]]) == (["member"], [5432])
    assert components(ingress(rendered, "pooler", f"{RELEASE}-pooler")["from"]) == ["test"]


def test_there_need_not_be_policies() -> None:
    assert not [
        each for each in render(POOLER, {"networkPolicy": {"enabled": False}}) if each["kind"] == "NetworkPolicy"
    ]


def decoded(rendered: Cluster, name: str) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in rendered.get("Secret", name)["data"].items()}


def test_passwords_are_drawn_long_and_are_nowhere_but_in_secrets() -> None:
    rendered = render(POOLER, METRICS)
    passwords = decoded(rendered, f"{RELEASE}-passwords")
    assert passwords.keys() == KEYS
    assert len(set(passwords.values())) == len(KEYS)
    assert min(map(len, passwords.values())) >= 32
    elsewhere = json.dumps([each for each in rendered if each["kind"] != "Secret"])
    assert not [name for name, password in passwords.items() if password in elsewhere]


def test_each_pod_gets_the_passwords_that_it_needs_as_files_that_others_can_not_read() -> None:
    rendered = render(POOLER, METRICS)
    given = {}
    for name, spec in pods(rendered).items():
        for volume in spec["volumes"]:
            if "secret" in volume and volume["secret"]["secretName"] == f"{RELEASE}-passwords":
                assert volume["secret"]["defaultMode"] == 0o440
                given[name, volume["name"]] = {each["key"] for each in volume["secret"]["items"]}
    assert given == {
        (f"StatefulSet {RELEASE}", "passwords"): KEYS,
        (f"StatefulSet {RELEASE}", "monitoring"): {"monitoring_password"},
        (f"Deployment {RELEASE}-pooler", "passwords"): {"owner_password"},
    }


def test_the_application_finds_addresses_that_say_how_to_connect_and_when_to_give_up() -> None:
    rendered = render()
    app = decoded(rendered, f"{RELEASE}-app")
    password = decoded(rendered, f"{RELEASE}-passwords")["owner_password"]
    address, _, options = app["database_dsn"].partition("?")
    assert address == f"postgresql://catalog:{password}@{RELEASE}.{DOMAIN}:5432/catalog"
    assert {"keepalives_idle=5", "tcp_user_timeout=10000", "sslmode=verify-full"} < set(options.split("&"))
    assert "sslrootcert=/etc/catalog-server/database/ca.crt" in options.split("&")
    assert app["migrations_dsn"] == app["database_dsn"]
    assert f"@{RELEASE}-replicas.{DOMAIN}:5432/" in app["replicas_dsn"]
    assert app["ca.crt"].strip() == decoded(rendered, f"{RELEASE}-ca")["ca.crt"].strip()


def test_migrations_never_go_through_the_pooler() -> None:
    app = decoded(render(POOLER), f"{RELEASE}-app")
    assert f"@{RELEASE}-pooler.{DOMAIN}:6432/" in app["database_dsn"]
    assert f"@{RELEASE}.{DOMAIN}:5432/" in app["migrations_dsn"]


def test_an_application_that_has_no_certificate_encrypts_all_the_same() -> None:
    app = decoded(render({"database": {"sslRootCert": ""}}), f"{RELEASE}-app")
    assert app["database_dsn"].endswith("&sslmode=require")
    assert "ssl" not in decoded(render(NO_TLS), f"{RELEASE}-app")["database_dsn"]
    assert "ca.crt" not in decoded(render(NO_TLS), f"{RELEASE}-app")


def test_secrets_of_your_own_are_used_in_place_of_drawn_ones() -> None:
    rendered = render(OWN_SECRETS, POOLER)
    assert not [each for each in rendered if each["kind"] == "Secret"]
    for name, spec in pods(rendered).items():
        used = {each["secret"]["secretName"] for each in spec["volumes"] if "secret" in each}
        assert used <= {"my-passwords", "my-tls"}, name
        assert used, name


def handshake(rendered: Cluster, folder: Path, host: str) -> None:
    """As a client that checks the certificate of this host. Raises `ssl.SSLError`."""
    for name, text in decoded(rendered, f"{RELEASE}-tls").items():
        (folder / name).write_text(text)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(folder / "tls.crt", folder / "tls.key")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context(cafile=str(folder / "ca.crt")).wrap_bio(
        to_client, to_server, server_hostname=host
    )
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for side in (client, server, client, server):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue


@pytest.mark.parametrize(
    "host",
    [
        f"{RELEASE}.{DOMAIN}",
        f"{RELEASE}-replicas.{DOMAIN}",
        f"{RELEASE}-pooler.{DOMAIN}",
        RELEASE,
        f"{RELEASE}.catalog",
        "localhost",
        f"{RELEASE}-0.{RELEASE}-members.{DOMAIN}",
        f"{RELEASE}-8.{RELEASE}-members.{DOMAIN}",
    ],
)
def test_the_certificate_is_for_each_name_that_a_member_has(host: str, tmp_path: Path) -> None:
    handshake(render(), tmp_path, host)


def test_the_certificate_is_for_nobody_else(tmp_path: Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(render(), tmp_path, "elsewhere.example.com")


def test_no_pod_gets_the_key_of_the_authority() -> None:
    assert f"{RELEASE}-ca" not in json.dumps(pods(render(POOLER, METRICS)))
    (volume,) = (each for each in render().pod["volumes"] if each["name"] == "tls")
    assert {each["key"] for each in volume["secret"]["items"]} == {"tls.crt", "tls.key", "ca.crt"}
    assert volume["secret"]["defaultMode"] == 0o440  # PostgreSQL refuses a key that others can read

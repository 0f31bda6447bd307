"""What Patroni is told: who may become primary, when others take over, and who gets in."""

import pytest

from unit.helm.chart import Values, needs_helm
from unit.helm.postgresql_ha.cluster import NO_TLS, RELEASE, render

pytestmark = needs_helm


@pytest.mark.parametrize(
    ("mode", "synchronous", "strict"),
    [("synchronous", True, False), ("strict", True, True), ("asynchronous", False, False)],
)
def test_how_much_a_commit_waits_for_can_be_chosen(mode: str, synchronous: bool, strict: bool) -> None:
    configuration = render({"replication": {"mode": mode}}).configuration
    assert configuration["synchronous_mode"] is synchronous
    assert configuration["synchronous_mode_strict"] is strict


def test_no_fail_over_loses_a_write_unless_that_is_chosen() -> None:
    assert render().configuration["synchronous_mode"] is True
    assert render().configuration["synchronous_node_count"] == 1
    assert render({"replication": {"synchronousMembers": 2}}).configuration["synchronous_node_count"] == 2


def test_the_times_of_a_fail_over_are_those_of_the_values() -> None:
    failover = {
        "ttlSeconds": 30,
        "loopWaitSeconds": 8,
        "retryTimeoutSeconds": 11,
        "primaryStartTimeoutSeconds": 0,
        "failsafe": False,
    }
    values = {"failover": failover, "replication": {"maximumLagBytes": 123456789}}
    configuration = render(values).configuration
    assert [configuration[name] for name in ("ttl", "loop_wait", "retry_timeout", "master_start_timeout")] == [
        30,
        8,
        11,
        0,
    ]
    assert configuration["failsafe_mode"] is False
    assert configuration["maximum_lag_on_failover"] == 123456789


def test_an_outage_of_the_api_leaves_the_primary_what_it_is() -> None:
    assert render().configuration["failsafe_mode"] is True


def test_a_primary_never_loses_its_lock_while_it_still_tries_to_renew_it() -> None:
    configuration = render().configuration
    assert configuration["ttl"] >= configuration["loop_wait"] + 2 * configuration["retry_timeout"]


def test_each_member_has_a_slot_that_stays_while_its_pod_is_replaced_and_holds_back_only_so_much() -> None:
    configuration = render({"replicaCount": 4}).configuration
    assert configuration["slots"] == {f"catalog_db_{ordinal}": {"type": "physical"} for ordinal in range(4)}
    assert configuration["postgresql"]["use_slots"] is True
    assert configuration["postgresql"]["parameters"]["max_slot_wal_keep_size"] == "1GB"


def test_a_primary_that_was_taken_over_from_can_be_rewound() -> None:
    assert render().configuration["postgresql"]["use_pg_rewind"] is True
    assert render().configuration["postgresql"]["parameters"]["wal_log_hints"] == "on"
    assert "data-checksums" in render().patroni["bootstrap"]["initdb"]


def test_settings_of_postgresql_can_be_added_and_changed() -> None:
    values = {"postgresql": {"parameters": {"max_connections": 50, "max_wal_senders": 20, "work_mem": "8MB"}}}
    parameters = render(values).configuration["postgresql"]["parameters"]
    assert (parameters["max_connections"], parameters["max_wal_senders"], parameters["work_mem"]) == (50, 20, "8MB")
    assert parameters["wal_keep_size"] == "256MB"


ROLES = {"replication replicator", "postgres rewind", "catalog catalog"}


@pytest.mark.parametrize(("values", "kind"), [({}, "hostssl"), (NO_TLS, "host")])
def test_others_get_in_with_a_password_and_encrypted_where_there_is_tls(values: Values, kind: str) -> None:
    rules = [line.split() for line in render(values).patroni["postgresql"]["pg_hba"]]
    remote = [rule for rule in rules if rule[0] != "local"]
    assert {rule[0] for rule in remote} == {kind}
    assert {" ".join(rule[1:3]) for rule in remote} == ROLES
    assert {rule[-1] for rule in remote} == {"scram-sha-256"}


def test_the_superuser_has_no_password_and_is_let_in_by_the_socket_alone() -> None:
    postgresql = render().patroni["postgresql"]
    superuser = [line for line in postgresql["pg_hba"] if "postgres " in line and "peer" in line]
    assert superuser == ["local all postgres peer"]
    assert not [line for line in postgresql["pg_hba"] if line.startswith("host") and line.split()[2] == "postgres"]
    assert not [line for line in postgresql["pg_hba"] if "trust" in line or "md5" in line]
    assert postgresql["authentication"]["superuser"] == {"username": "postgres"}
    assert postgresql["use_unix_socket"] is True


def test_the_owner_and_the_database_have_the_names_of_the_values() -> None:
    rendered = render({"database": {"name": "shop", "owner": "keeper"}})
    assert "hostssl shop keeper all scram-sha-256" in rendered.patroni["postgresql"]["pg_hba"]
    environment = {each["name"]: each.get("value") for each in rendered.container["env"]}
    assert (environment["DATABASE_NAME"], environment["DATABASE_OWNER"]) == ("shop", "keeper")


def test_members_check_whom_they_replicate_from() -> None:
    authentication = render().patroni["postgresql"]["authentication"]
    for role in ("replication", "rewind"):
        assert authentication[role]["sslmode"] == "verify-full"
        assert authentication[role]["sslrootcert"] == "/secrets/tls/ca.crt"
    assert render().patroni["restapi"]["certfile"] == "/secrets/tls/tls.crt"
    assert render().patroni["postgresql"]["parameters"]["ssl"] == "on"


def test_without_tls_nothing_of_it_is_left() -> None:
    rendered = render(NO_TLS)
    assert "/secrets/tls" not in str(rendered.patroni)
    assert "ssl" not in rendered.patroni["postgresql"]["parameters"]
    assert not [each for each in rendered.pod["volumes"] if each["name"] == "tls"]
    assert not rendered.has("Secret", f"{RELEASE}-tls")
    assert not rendered.has("Secret", f"{RELEASE}-ca")


def test_what_the_chart_describes_is_made_true_on_whoever_becomes_primary() -> None:
    callbacks = render().patroni["postgresql"]["callbacks"]
    assert callbacks == dict.fromkeys(("on_start", "on_role_change"), "python3 /scripts/settle.py")
    assert render().patroni["bootstrap"]["post_bootstrap"] == "python3 /scripts/settle.py roles"


def test_no_password_is_in_the_configuration() -> None:
    assert "password:" not in render().get("ConfigMap", f"{RELEASE}-patroni")["data"]["patroni.yaml"]

"""What preflight refuses, and what it tells the person who has to mend it."""

import os
import socket
from pathlib import Path

import pytest

from deploy.deployment import PROJECT, load_module, load_module_utils

installation = load_module_utils("installation")
preflight = load_module("preflight")

VARIABLES = {
    "replicas": 3,
    "http_port": 8080,
    "haproxy_stats_port": 8090,
    "postgresql_port": 55432,
    "postgresql_members": 1,
    "postgresql_synchronous_replicas": 1,
    "postgresql_failover": "manual",
    "postgresql_failover_port_base": 55450,
    "postgresql_wal_level": "replica",
    "postgresql_backups": False,
    "postgresql_backup_dir": "/var/lib/catalog/backups",
    "postgresql_backup_full_every": 7,
    "postgresql_backup_keep_full": 3,
    "postgresql_backup_keep_dumps": 7,
    "replica_port_base": 8081,
    "database_proxies": False,
    "database_proxy_port_base": 55440,
    "leadership_lease_seconds": 15,
    "leadership_renew_deadline_seconds": 10,
    "leadership_retry_seconds": 2,
    "drain_seconds": 2,
    "shutdown_grace_seconds": 20,
    "ready_timeout_seconds": 90,
}


def test_the_defaults_are_accepted() -> None:
    assert preflight.number_problems(VARIABLES, 9) == []


@pytest.mark.parametrize("value", [0, 10, -1, "three", "", "1.5", True, None])
def test_a_wrong_number_of_replicas_is_named_with_the_range(value: object) -> None:
    (problem,) = preflight.number_problems(VARIABLES | {"replicas": value}, 9)
    assert problem.startswith(f"replicas = {value}: must be a whole number from 1 to 9.")
    assert "group_vars/all.yml" in problem


@pytest.mark.parametrize("value", ["3", 3, 1, 9])
def test_numbers_given_on_the_command_line_are_text_and_accepted(value: object) -> None:
    assert preflight.number_problems(VARIABLES | {"replicas": value}, 9) == []


def test_every_problem_is_reported_at_once() -> None:
    problems = preflight.number_problems(VARIABLES | {"replicas": 0, "http_port": 70000}, 9)
    assert [problem.split(" = ")[0] for problem in problems] == ["replicas", "http_port"]


def test_unsafe_leadership_timings_are_refused_with_the_rule() -> None:
    (problem,) = preflight.number_problems(VARIABLES | {"leadership_lease_seconds": 10}, 9)
    assert "lease > renew deadline > 1.2 x retry" in problem


def test_ports_that_overlap_are_refused() -> None:
    ports = preflight.wanted_ports(VARIABLES | {"haproxy_stats_port": 8082})
    problems = preflight.port_problems([port for port in ports if port[0] == 8082], "/nowhere")
    assert any("wanted twice" in problem and "replica-2" in problem for problem in problems)


def test_database_proxies_want_a_port_for_each_replica() -> None:
    assert not [port for port in preflight.wanted_ports(VARIABLES) if port[1] == "database_proxy_port_base"]
    ports = preflight.wanted_ports(VARIABLES | {"database_proxies": True})
    assert [port[0] for port in ports if port[1] == "database_proxy_port_base"] == [55441, 55442, 55443]


def test_each_member_of_the_database_wants_a_port() -> None:
    ports = preflight.wanted_ports(VARIABLES | {"postgresql_members": "3"})
    wanted = {port: purpose for port, variable, purpose in ports if variable == "postgresql_port"}
    assert wanted == {55432: "PostgreSQL", 55433: "postgresql-2", 55434: "postgresql-3"}


@pytest.mark.parametrize("value", [0, 6, "many"])
def test_a_wrong_number_of_members_is_named_with_the_range(value: object) -> None:
    (problem,) = preflight.number_problems(VARIABLES | {"postgresql_members": value}, 9)
    assert problem.startswith(f"postgresql_members = {value}: must be a whole number from 1 to 5.")


def test_more_confirmations_than_replicas_are_refused() -> None:
    assert (
        preflight.number_problems(VARIABLES | {"postgresql_members": 3, "postgresql_synchronous_replicas": 2}, 9) == []
    )
    (problem,) = preflight.number_problems(
        VARIABLES | {"postgresql_members": 2, "postgresql_synchronous_replicas": 2}, 9
    )
    assert problem.startswith("postgresql_synchronous_replicas = 2: must be less than postgresql_members, which is 2")


def test_database_proxies_are_refused_before_several_members() -> None:
    (problem,) = preflight.number_problems(VARIABLES | {"postgresql_members": 3, "database_proxies": True}, 9)
    assert problem.startswith("database_proxies = True: ")


def test_automatic_failover_wants_three_members_and_etcd_and_says_how_to_get_them() -> None:
    automatic = VARIABLES | {"postgresql_failover": "automatic"}
    assert preflight.failover_problems(VARIABLES, "") == []
    assert preflight.failover_problems(automatic | {"postgresql_members": "3"}, "/usr/bin/etcd") == []
    few, missing = preflight.failover_problems(automatic | {"postgresql_members": 2}, "")
    assert few.startswith("postgresql_failover = automatic: needs 3 members")
    assert "postgresql_members is 2" in few
    assert "make etcd" in missing
    assert "apt-get install etcd-server" in missing
    followed = automatic | {"postgresql_members": 3, "postgresql_wal_level": "logical"}
    (region,) = preflight.failover_problems(followed, "/usr/bin/etcd")
    assert region.startswith("postgresql_wal_level = logical: a second region is not possible with")
    (problem,) = preflight.failover_problems(VARIABLES | {"postgresql_failover": "yes"}, "/usr/bin/etcd")
    assert problem.startswith("postgresql_failover = yes: must be manual or automatic.")


def test_automatic_failover_wants_a_port_for_etcd_and_for_each_patroni() -> None:
    variables = VARIABLES | {"postgresql_failover": "automatic", "postgresql_members": 3}
    ports = [port for port in preflight.wanted_ports(variables) if port[1] == "postgresql_failover_port_base"]
    assert [port[0] for port in ports] == [55450, 55451, 55452, 55453]
    assert ports[0][2] == "etcd"
    assert not [port for port in preflight.wanted_ports(VARIABLES) if port[1] == "postgresql_failover_port_base"]


def test_the_etcd_that_is_deployed_is_kept_and_else_the_built_one_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / folder / "etcd" for folder in ("old", "project/.cache/kubernetes/bin", "bin")]
    for path in paths:
        path.parent.mkdir(parents=True)
        path.touch(mode=0o755)
    deployed, built, found = paths
    monkeypatch.setenv("PATH", str(found.parent))
    programs = tmp_path / "state" / "config" / "programs"
    programs.mkdir(parents=True)

    def find() -> str:
        return str(installation.find_etcd(tmp_path / "project", tmp_path / "state"))

    assert find() == str(built)
    (programs / "etcd.conf").write_text(f"[program:etcd]\ncommand = {deployed}\n    --name etcd\n")
    assert find() == str(deployed)
    deployed.unlink()
    built.unlink()
    assert find() == str(found)
    found.unlink()
    assert find() == ""


def test_a_taken_port_names_its_holder() -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        port = squatter.getsockname()[1]
        (problem,) = preflight.port_problems([(port, "http_port", "the load balancer")], "/nowhere")
    assert f"port {port}" in problem
    assert f"process {os.getpid()}" in problem
    assert "set http_port to another" in problem


def test_a_folder_that_is_not_a_deployment_is_refused(tmp_path: Path) -> None:
    marker = str(tmp_path / "marker")
    assert preflight.folder_problems(str(tmp_path / "missing"), marker, False) == []
    assert preflight.folder_problems(str(tmp_path), marker, False) == []
    (tmp_path / "precious").touch()
    (problem,) = preflight.folder_problems(str(tmp_path), marker, False)
    assert "holds something that is not a deployment" in problem
    Path(marker).touch()
    assert preflight.folder_problems(str(tmp_path), marker, False) == []


@pytest.mark.parametrize("path", ["relative", "/with space", "/with%percent", "/" + "x" * 100])
def test_a_state_folder_that_would_break_a_configuration_file_is_refused(path: str) -> None:
    (problem,) = preflight.path_problems(path)
    assert problem.startswith(f"state_dir = {path}: ")


def test_a_sources_file_that_the_server_cannot_use_is_refused_in_its_words(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    (problem,) = preflight.sources_problems(path)
    assert problem.startswith(f"sources_file = {path}: No such file")
    path.write_text("catalogs: [oops")
    (problem,) = preflight.sources_problems(path)
    assert problem.startswith(f"sources_file = {path}: not YAML")
    assert preflight.sources_problems(PROJECT / "samples" / "catalog" / "sources.yaml") == []


def test_switches_and_times_of_backups_are_checked() -> None:
    (problem,) = preflight.switch_problems({"postgresql_backups": "yess"}, "postgresql_backups")
    assert problem.startswith("postgresql_backups = yess: must be true or false.")
    assert preflight.switch_problems({"a": True, "b": "no", "c": "True"}, "a", "b", "c") == []
    assert [preflight.time_problems("t", value) for value in ("02:30", "", "23:59")] == [[], [], []]
    for value in ("24:00", "2:30", 150, "noon"):
        (problem,) = preflight.time_problems("postgresql_backup_time", value)
        assert problem.startswith(f"postgresql_backup_time = {value}: must be a time of the day")
    (problem,) = preflight.plain_path_problems("postgresql_backup_dir", "backups")
    assert problem.startswith("postgresql_backup_dir = backups: must be an absolute path")

"""`deploy.yml` as a newcomer meets it: one deployment, taken through its life in the order of this file."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from deploy.deployment import BIN, Deployment, changes
from deploy.dying_replica import DyingReplica
from deploy.steady_client import SteadyClient
from support.postgres import wait_until

pytestmark = pytest.mark.timeout(600)

MODELS = "/api/model_catalog/v1alpha1/models"


def cluster(deployment: Deployment) -> dict:
    with urllib.request.urlopen(f"{deployment.url}/api/v1/cluster", timeout=10) as response:
        return json.load(response)


def reader(deployment: Deployment) -> SteadyClient:
    return SteadyClient(int(str(deployment.variables["http_port"])), path=f"{MODELS}?pageSize=5")


def has_live_leader(deployment: Deployment, *, other_than: str | None = None) -> str | None:
    leader = cluster(deployment)["leader"]
    return leader["holder"] if leader and leader["replica"] and leader["holder"] != other_than else None


def everybody_is_ready(deployment: Deployment) -> bool:
    return deployment.play("status.yml").returncode == 0


def test_check_is_refused_where_there_is_nothing_to_compare_with(deployment: Deployment) -> None:
    assert "nothing is deployed there" in deployment.fail("deploy.yml", "--check")
    assert not deployment.state_dir.exists()


def test_a_taken_port_is_refused_with_its_number_and_the_variable_to_change(deployment: Deployment) -> None:
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", int(str(deployment.variables["http_port"]))))
        squatter.listen()
        output = deployment.fail("deploy.yml")
    assert f"port {deployment.variables['http_port']}" in output
    assert f"process {os.getpid()}" in output
    assert "set http_port to another" in " ".join(output.split())
    assert not deployment.state_dir.exists(), "a refused deployment must leave nothing behind"


def test_wrong_variables_are_refused_together_before_anything_is_made(deployment: Deployment) -> None:
    wrong = {"replicas": 12, "http_host": "nowhere", "sources_file": "/no/such/file", "drain_seconds": "long"}
    output = deployment.fail("deploy.yml", **wrong)
    for name, value in wrong.items():
        assert f"{name} = {value}: " in output
    assert not deployment.state_dir.exists()


def test_deploy_ends_with_a_table_of_three_ready_replicas_and_one_leader(deployment: Deployment) -> None:
    output = deployment.succeed("deploy.yml")
    table = output[output.index("PLAY RECAP") :]
    lines = [line for line in table.splitlines() if line.startswith("replica-")]
    assert [line.split()[0] for line in lines] == ["replica-1", "replica-2", "replica-3"]
    assert all(line.split()[2] == "yes" for line in lines), table
    assert sum("leader" in line for line in lines) == 1, table
    assert f"curl '{deployment.url}" in table
    url = re.findall(r"curl '(.*?)'", table)[0]
    with urllib.request.urlopen(url, timeout=10) as response:
        assert json.load(response)["size"] == 3
    assert cluster(deployment)["catalog"]["models"] >= 30


def test_a_second_deploy_changes_nothing_and_says_so(deployment: Deployment) -> None:
    output = deployment.succeed("deploy.yml")
    assert changes(output) == 0
    assert output.splitlines()[-1] == "Nothing changed: everything already was as described."


def test_check_tells_what_would_change_and_changes_nothing(deployment: Deployment) -> None:
    def everything() -> tuple[dict[Path, str], str]:
        files = (path for path in (deployment.state_dir / "config").rglob("*") if path.is_file())
        pids = " ".join(str(deployment.pid(f"replica-{number}")) for number in (1, 2, 3))
        return {path: path.read_text() for path in files}, pids

    before = everything()
    assert changes(deployment.succeed("deploy.yml", "--check")) == 0
    output = deployment.succeed("deploy.yml", "--check", "--diff", replicas=4, settings={"log_level": "debug"})
    assert "+log_level: debug" in output
    assert "[program:replica-4]" in output
    assert re.fullmatch(r"Not done: \d+ steps would change something\.", output.splitlines()[-1])
    for name in ("scale.yml", "down.yml", "destroy.yml"):
        assert changes(deployment.succeed(name, "--check", replicas=2)) > 0
    assert "nothing was done" in deployment.fail("failover.yml", "--check")
    assert everything() == before
    secrets = (deployment.state_dir / "secrets").iterdir()
    assert not any(path.read_text() in output for path in secrets)


def test_secrets_are_readable_by_their_owner_only_and_appear_nowhere_else(deployment: Deployment) -> None:
    secrets = deployment.state_dir / "secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700
    values = []
    for path in secrets.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
        values.append(path.read_text())
    assert len(values) == 4
    elsewhere = [path for folder in ("config", "logs") for path in (deployment.state_dir / folder).rglob("*.*")]
    for path in (path for path in elsewhere if path.is_file()):
        content = path.read_text(errors="replace")
        assert not any(value in content for value in values), path
    command_lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not any(value in line for value in values for line in command_lines)


def test_a_write_needs_a_token_which_is_valid_on_every_replica(deployment: Deployment) -> None:
    base = int(str(deployment.variables["replica_port_base"]))
    headers = authorization(deployment)
    for port in range(base, base + 3):
        url = f"http://127.0.0.1:{port}/api/v1/sources/house/refresh"
        with urllib.request.urlopen(urllib.request.Request(url, method="POST", headers=headers)) as response:
            assert response.status == 202
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(urllib.request.Request(url, method="POST"))


def test_a_read_is_repeated_elsewhere_when_a_replica_dies_under_it_and_a_write_is_not(
    deployment: Deployment,
) -> None:
    deployment.supervisorctl("stop", "replica-1")
    headers = authorization(deployment) | {"X-Forwarded-For": "203.0.113.7"}
    refresh = "/api/v1/sources/house/refresh"
    with DyingReplica(int(str(deployment.variables["replica_port_base"]))).running() as dying:
        reads = statuses_until_hit(deployment, dying, "GET", MODELS, headers)
        writes = statuses_until_hit(deployment, dying, "POST", refresh, headers)
    assert set(reads) == {200}
    assert writes[-1] == 502, "the client is told that the outcome is unknown"
    assert set(writes[:-1]) <= {202}
    assert dying.asked("POST") == 1

    _, received = dying.requests[0]
    assert received["x-forwarded-for"] == "127.0.0.1", "a client cannot pretend to be another"
    assert received["x-forwarded-proto"] == "http"
    assert received["x-forwarded-host"] == deployment.url.removeprefix("http://")

    deployment.supervisorctl("start", "replica-1")
    wait_until(lambda: everybody_is_ready(deployment), what="three ready replicas")


def test_a_killed_leader_is_replaced_and_restarted_and_no_client_notices(deployment: Deployment) -> None:
    leader = cluster(deployment)["leader"]
    victim = deployment.pid(leader["replica"])
    with reader(deployment).running() as client:
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: has_live_leader(deployment, other_than=leader["holder"]), what="a new leader")
        wait_until(lambda: deployment.pid(leader["replica"]) not in (0, victim), what="the restart")
        wait_until(lambda: everybody_is_ready(deployment), what="three ready replicas")
    assert client.failures == []
    assert client.succeeded > 50
    assert cluster(deployment)["leader"]["epoch"] > leader["epoch"]


def test_scaling_down_to_one_and_up_to_three_loses_no_request(deployment: Deployment) -> None:
    writer = SteadyClient(
        int(str(deployment.variables["http_port"])),
        path="/api/v1/sources/house/refresh",
        method="POST",
        headers=authorization(deployment),
        expected=202,
        per_second=10,
        connections=2,
    )
    with reader(deployment).running() as client, writer.running():
        for replicas in (1, 3):
            output = deployment.succeed("scale.yml", replicas=replicas)
            assert sum(line.startswith("replica-") for line in output.splitlines()) == replicas, output
    assert client.failures == []
    assert writer.failures == []
    assert client.succeeded > 200
    assert writer.succeeded > 50


def test_database_proxies_come_and_go_without_losing_a_request(deployment: Deployment) -> None:
    with reader(deployment).running() as client:
        deployment.succeed("deploy.yml", database_proxies=True)
        assert deployment.supervisorctl("status").count("database-proxy-") == 3
        deployment.succeed("deploy.yml")
    assert client.failures == []
    assert "database-proxy-" not in deployment.supervisorctl("status")


def test_changed_settings_reach_every_replica_one_after_the_other(deployment: Deployment) -> None:
    before = {deployment.pid(f"replica-{number}") for number in (1, 2, 3)}
    deployment.variables["settings"] = {"refresh_interval_seconds": 120}
    with reader(deployment).running() as client:
        deployment.succeed("scale.yml")
    assert client.failures == []
    after = {deployment.pid(f"replica-{number}") for number in (1, 2, 3)}
    assert not before & after


def test_down_ends_what_a_dead_supervisor_left_behind(deployment: Deployment) -> None:
    os.kill(int((deployment.state_dir / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    assert cluster(deployment)["catalog"]["models"] >= 30, "the programs outlive their supervisor"
    deployment.succeed("down.yml")
    for name in ("http_port", "postgresql_port", "replica_port_base"):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", int(str(deployment.variables[name]))))


def test_down_keeps_the_data_and_destroy_removes_what_deploy_made(deployment: Deployment) -> None:
    assert changes(deployment.succeed("down.yml")) == 0, "nothing ran any more"
    assert (deployment.state_dir / "postgresql" / "data").exists()
    assert "does not answer" in deployment.fail("status.yml")

    foreign = deployment.state_dir.parent / "foreign"
    foreign.mkdir()
    (foreign / "precious").touch()
    assert "was not made by" in " ".join(deployment.fail("destroy.yml", state_dir=str(foreign)).split())
    assert "holds something" in deployment.fail("deploy.yml", state_dir=str(foreign))
    assert (foreign / "precious").exists()

    deployment.succeed("destroy.yml")
    assert not deployment.state_dir.exists()


def statuses_until_hit(
    deployment: Deployment, dying: DyingReplica, method: str, path: str, headers: dict[str, str]
) -> list[int]:
    """Asks, through the load balancer, until a request has met the dying replica."""
    statuses = []
    for _ in range(1000):
        connection = http.client.HTTPConnection(deployment.url.removeprefix("http://"), timeout=15)
        connection.request(method, path, headers=headers)
        statuses.append(connection.getresponse().status)
        connection.close()
        if dying.asked(method):
            return statuses
    raise AssertionError("the load balancer never chose the dying replica")


def authorization(deployment: Deployment) -> dict[str, str]:
    """What `make token` prints, as a header."""
    environment = {
        "CATALOG_CONFIG_FILE": f"{deployment.state_dir}/config/catalog.yaml",
        "CATALOG_DATABASE_DSN_FILE": f"{deployment.state_dir}/secrets/database_dsn",
        "CATALOG_AUTH_SECRET_FILE": f"{deployment.state_dir}/secrets/auth_secret",
    }
    command = [BIN / "catalog-server", "token"]
    token = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return {"Authorization": f"Bearer {token.stdout.strip()}"}

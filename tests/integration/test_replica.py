"""One replica as a process: configuration, readiness, tokens, logs, shutdown."""

import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import jwt
import pytest

from integration.conftest import StartReplica
from support.postgres import free_port, wait_until
from support.replica import ReplicaProcess

SECRET = "a shared secret that is long enough to be one"
MODELS = "/api/model_catalog/v1alpha1/models"


def config_reason(replica: ReplicaProcess) -> str:
    """What /readyz says about the configuration; empty while it has nothing to say or does not answer."""
    status, body = replica.get("/readyz")
    return (body["checks"]["config"]["reason"] or "") if status else ""


def identities(replica: ReplicaProcess) -> list[str]:
    """Of the replicas that the database knows of."""
    status, body = replica.get("/api/v1/cluster")
    return [row["id"] for row in body["replicas"]] if status == 200 else []


def serves_models(replica: ReplicaProcess) -> bool:
    status, body = replica.get(MODELS)
    return status == 200 and body["size"] > 0


def test_an_empty_database_becomes_a_served_catalog(empty_dsn: str, start_replica: StartReplica) -> None:
    replica = start_replica("alone", empty_dsn)
    replica.wait_until_ready()
    wait_until(lambda: serves_models(replica), what="the first refresh")
    _, cluster = replica.get("/api/v1/cluster")
    assert cluster["leader"]["replica"] == "alone"
    assert cluster["leader"]["epoch"] >= 1
    assert cluster["catalog"] == {"sources": 1, "models": 12}
    assert [row["name"] for row in cluster["replicas"]] == ["alone"]


def test_an_invalid_configuration_is_live_not_ready_and_says_what_to_mend(
    dsn: str, start_replica: StartReplica
) -> None:
    replica = start_replica("misconfigured", dsn, jobs_concurrency="many")
    reason = wait_until(lambda: config_reason(replica), what="an answer")
    assert "jobs_concurrency" in reason
    assert "'many'" in reason
    assert "docs/configuration.md" in reason
    assert replica.get("/healthz")[0] == 200
    assert replica.get("/readyz")[0] == 503
    assert replica.get(MODELS)[0] == 503
    assert replica.stop() == 0


def test_sighup_reads_the_configuration_again_and_a_bad_one_keeps_the_old_at_work(
    dsn: str, start_replica: StartReplica, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("jobs_concurrency: none\n")
    replica = start_replica("reloaded", dsn, config_file=str(config))
    wait_until(lambda: "jobs_concurrency" in config_reason(replica), what="the refusal at start")

    config.write_text("jobs_concurrency: 2\n")
    replica.signal(signal.SIGHUP)
    replica.wait_until_ready()

    config.write_text("jobs_concurrency: -1\nhttp_prot: 1\n")
    replica.signal(signal.SIGHUP)
    wait_until(lambda: "http_prot" in config_reason(replica), what="the refusal of the reload")
    assert replica.is_ready()
    assert serves_models(replica) or replica.get(MODELS)[0] == 200

    config.write_text("replica_timeout_seconds: 3\n")
    (identity,) = wait_until(lambda: identities(replica), what="the replica's row")
    replica.signal(signal.SIGHUP)
    wait_until(
        lambda: (found := identities(replica)) and identity not in found,
        what="the new runtime to take over",
    )
    assert config_reason(replica) == ""
    assert replica.is_ready()


def test_a_reload_on_sqlite_hands_the_database_over(
    sqlite_dsn: str, start_replica: StartReplica, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("jobs_concurrency: 1\n")
    replica = start_replica("sqlite-reload", sqlite_dsn, config_file=str(config))
    replica.wait_until_ready()
    (identity,) = wait_until(lambda: identities(replica), what="the replica's row")
    config.write_text("jobs_concurrency: 2\n")
    replica.signal(signal.SIGHUP)
    wait_until(lambda: (found := identities(replica)) and identity not in found, what="the new runtime's row")
    wait_until(replica.is_ready, what="readiness of the new runtime")


def test_a_setting_that_needs_a_restart_is_refused_by_name(
    dsn: str, start_replica: StartReplica, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("log_level: info\n")
    replica = start_replica("fixed", dsn, config_file=str(config))
    replica.wait_until_ready()
    config.write_text("log_level: debug\n")
    replica.signal(signal.SIGHUP)
    reason = wait_until(lambda: config_reason(replica), what="the refusal")
    assert "log_level" in reason
    assert "Restart" in reason
    assert replica.is_ready()


def test_an_unreachable_database_is_waited_for_and_named(start_replica: StartReplica) -> None:
    port = free_port()
    replica = start_replica("waiting", f"postgresql://nobody:hunter2@127.0.0.1:{port}/none")
    checks = wait_until(lambda: (answer := replica.get("/readyz"))[0] == 503 and answer[1]["checks"], what="an answer")
    assert str(port) in checks["database"]["reason"]
    assert "hunter2" not in str(checks)
    assert replica.get("/health")[1]["status"] == "unhealthy"
    assert replica.stop() == 0
    assert "hunter2" not in replica.log_path.read_text()


def test_a_taken_port_is_named_and_ends_the_process(empty_dsn: str, start_replica: StartReplica) -> None:
    first = start_replica("first", empty_dsn)
    first.wait_until_ready()
    second = start_replica("second", empty_dsn, http_port=str(first.port))
    assert second.process.wait(timeout=30) == 1
    log = second.log_path.read_text()
    assert f"http_host, http_port = 127.0.0.1, {first.port}: Address already in use. Choose another port" in log
    assert "Traceback" not in log


def test_a_second_replica_on_sqlite_is_refused_and_pointed_to_postgresql(
    sqlite_dsn: str, start_replica: StartReplica
) -> None:
    first = start_replica("first", sqlite_dsn)
    first.wait_until_ready()
    second = start_replica("second", sqlite_dsn)
    reason = wait_until(
        lambda: (answer := second.get("/readyz"))[0] == 503 and answer[1]["checks"]["database"]["reason"],
        what="the refusal",
    )
    assert "PostgreSQL" in reason
    assert first.is_ready()
    wait_until(lambda: serves_models(first), what="a catalog on SQLite")
    assert second.stop() == 0


def test_sigterm_fails_readiness_first_and_then_finishes_what_is_in_flight(
    dsn: str, start_replica: StartReplica
) -> None:
    replica = start_replica("leaving", dsn, drain_seconds="2")
    replica.wait_until_ready()
    answers: list[int] = []
    asking = threading.Event()

    def keep_asking() -> None:
        while replica.process.poll() is None:
            status, _ = replica.get(MODELS)
            if status == 0:
                return  # the listener is closed
            answers.append(status)
            asking.set()

    client = threading.Thread(target=keep_asking)
    client.start()
    assert asking.wait(10)
    replica.signal(signal.SIGTERM)
    checks = wait_until(lambda: (answer := replica.get("/readyz"))[0] == 503 and answer[1]["checks"], what="draining")
    assert not checks["draining"]["ok"]
    served_when_draining = len(answers)
    assert replica.process.wait(timeout=30) == 0
    client.join(timeout=30)
    assert set(answers) == {200}
    assert len(answers) > served_when_draining, "requests were answered after /readyz had failed"


def test_a_graceful_stop_leaves_no_replica_row_no_claim_and_no_held_lease(
    dsn: str, start_replica: StartReplica, postgres: object
) -> None:
    replica = start_replica("orderly", dsn)
    replica.wait_until_ready()
    wait_until(lambda: replica.metric("catalog_leader") == 1, what="leadership")
    assert replica.stop() == 0
    name = dsn.rsplit("/", 1)[1]
    execute = postgres.execute  # type: ignore[attr-defined]
    assert execute("SELECT count(*) FROM replicas", name) == [(0,)]
    assert execute("SELECT count(*) FROM jobs WHERE state = 'running'", name) == [(0,)]
    assert execute("SELECT holder FROM leadership_leases", name) == [("",)]
    assert execute("SELECT count(*) FROM leadership_terms WHERE ended_at IS NULL", name) == [(0,)]


def test_a_leader_stopped_by_sigterm_is_succeeded_long_before_its_lease_would_run_out(
    empty_dsn: str, start_replica: StartReplica
) -> None:
    patient = {"leadership_lease_seconds": "600", "leadership_renew_deadline_seconds": "300"}
    replicas = [start_replica(name, empty_dsn, **patient) for name in ("one", "other")]
    for replica in replicas:
        replica.wait_until_ready()

    def shown() -> Any:
        return replicas[0].command("leader", "show", "--json")["leader"]

    first = wait_until(shown, what="a leader")
    (leader,) = [replica for replica in replicas if first["holder"].startswith(f"{replica.name}/")]
    assert leader.stop() == 0
    second = wait_until(lambda: (seen := shown()) and seen["holder"] != first["holder"] and seen, what="a successor")
    assert second["epoch"] > first["epoch"]
    assert leader.name not in second["holder"]


def test_a_request_in_flight_neither_delays_the_successor_nor_is_cut_off(
    empty_dsn: str, start_replica: StartReplica
) -> None:
    settings = {"leadership_lease_seconds": "600", "leadership_renew_deadline_seconds": "300", "probes_enabled": "true"}
    leaving, staying = (start_replica(name, empty_dsn, **settings) for name in ("leaving", "staying"))
    leaving.wait_until_ready()
    staying.wait_until_ready()
    if staying.metric("catalog_leader"):
        leaving, staying = staying, leaving
    wait_until(lambda: leaving.metric("catalog_leader") == 1, what="leadership")

    body = b'{"value": "in flight"}'
    with socket.create_connection(("127.0.0.1", leaving.port), timeout=30) as client:
        head = (
            f"POST /api/v1/probes HTTP/1.1\r\nHost: here\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        client.sendall(head.encode())
        assert b"100 Continue" in client.recv(1000), "the request is not in flight"
        leaving.signal(signal.SIGTERM)
        wait_until(lambda: staying.metric("catalog_leader") == 1, what="a successor")
        assert leaving.process.poll() is None
        client.sendall(body)
        assert client.recv(1000).startswith(b"HTTP/1.1 202 "), "the request was cut off"
    assert leaving.process.wait(timeout=30) == 0


@pytest.fixture
def guarded(dsn: str, start_replica: StartReplica) -> ReplicaProcess:
    """A replica that asks writes for a token."""
    replica = start_replica("guarded", dsn, auth_secret=SECRET)
    wait_until(lambda: serves_models(replica), what="the catalog")
    return replica


REFRESH = "/api/v1/sources/sample/refresh"


def sign(secret: str = SECRET, *, seconds: int = 60, **claims: object) -> str:
    return jwt.encode({"sub": "test", "exp": int(time.time()) + seconds} | claims, secret, algorithm="HS256")


def test_writes_need_a_token_and_reads_do_not(guarded: ReplicaProcess) -> None:
    status, body = guarded.request("POST", REFRESH)
    assert (status, body["code"]) == (401, "401")
    assert "Bearer" in body["message"]
    assert guarded.get(MODELS)[0] == 200
    assert guarded.request("POST", REFRESH, token=sign())[0] == 202


def test_a_token_of_a_replica_whose_clock_is_ahead_is_accepted(guarded: ReplicaProcess) -> None:
    assert guarded.request("POST", REFRESH, token=sign(iat=int(time.time()) + 3600))[0] == 202


@pytest.mark.parametrize(
    "token",
    [
        sign("another secret that is long enough too"),
        sign(seconds=-60),
        jwt.encode({"sub": "no expiry"}, SECRET, algorithm="HS256"),
        jwt.encode({"sub": "unsigned", "exp": 4_000_000_000}, None, algorithm="none"),
        "not-a-token",
    ],
    ids=["wrong secret", "expired", "no expiry", "unsigned", "garbage"],
)
def test_a_bad_token_is_refused(guarded: ReplicaProcess, token: str) -> None:
    assert guarded.request("POST", REFRESH, token=token)[0] == 401


def test_every_log_line_is_json_and_carries_its_context(guarded: ReplicaProcess) -> None:
    guarded.request("POST", REFRESH, token=sign())
    assert guarded.stop() == 0
    lines = guarded.logged()
    assert all(line["replica"] == "guarded" for line in lines)
    assert any("request_id" in line for line in lines)
    assert any("epoch" in line for line in lines)
    assert any("job_id" in line for line in lines)
    assert SECRET not in guarded.log_path.read_text()

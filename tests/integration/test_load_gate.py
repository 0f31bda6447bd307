"""Load runs end in a verdict that can fail, and whose latencies do not hide a stall."""

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from load.objectives import BadObjectives, Measured, Objectives, judge, read_objectives
from load.shapes import SECONDS, SHAPES, users_at

from integration.conftest import StartReplica
from support.postgres import wait_until
from support.replica import ReplicaProcess

PROJECT = Path(__file__).parents[2]
STALL_SECONDS = 6.0
MODELS = "/api/model_catalog/v1alpha1/models"
EASY = "default: {error_rate_max: 1.0, p95_seconds_max: 60.0, p99_seconds_max: 60.0, throughput_min: 0.0}\n"
OBJECTIVES = Objectives(error_rate_max=0.01, p95_seconds_max=0.1, p99_seconds_max=0.2, throughput_min=10)


def start(replica: ReplicaProcess, objectives: Path, results: Path, seconds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "load", "steady", "--host", replica.url, "--seconds", str(seconds)]
    command += ["--objectives", str(objectives), "--results", str(results)]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True)


def listings_served(replica: ReplicaProcess) -> float:
    """Only the load asks for models; to ask for this counts as a request, too."""
    return replica.metric("catalog_http_requests_total", f'route="{MODELS}"')


@pytest.fixture
def serving(empty_dsn: str, start_replica: StartReplica) -> ReplicaProcess:
    replica = start_replica("loaded", empty_dsn)
    replica.wait_until_ready()
    return replica


def test_a_stall_shows_in_the_percentiles_and_fails_the_gate(serving: ReplicaProcess, tmp_path: Path) -> None:
    strict, easy = tmp_path / "strict.yaml", tmp_path / "easy.yaml"
    strict.write_text(EASY.replace("p99_seconds_max: 60.0", "p99_seconds_max: 3.0"))
    easy.write_text(EASY)
    run = start(serving, strict, tmp_path / "stalled", seconds=30)  # the stall is over by then
    wait_until(lambda: listings_served(serving) > 50, what="load")
    serving.signal(signal.SIGSTOP)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            run.wait(STALL_SECONDS)  # the length of the stall, not a wait for luck
    finally:
        serving.signal(signal.SIGCONT)
    said, _ = run.communicate(timeout=120)
    assert _p99_seconds(tmp_path / "stalled") >= STALL_SECONDS - 1
    assert "Verdict: FAIL" in said
    assert said.count("MISSED") == 1
    assert run.returncode == 1

    run = start(serving, easy, tmp_path / "calm", seconds=5)
    said, _ = run.communicate(timeout=120)
    assert "Verdict: PASS" in said
    assert run.returncode == 0


def _p99_seconds(results: Path) -> float:
    with (results / "load_stats.csv").open() as file:
        (total,) = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    return float(total["99%"]) / 1000


@pytest.mark.parametrize(
    ("measured", "missed"),
    [
        (Measured(1000, 0, 50, 0.05, 0.1), []),
        (Measured(1000, 11, 50, 0.05, 0.1), ["error rate, at most"]),
        (Measured(1000, 0, 50, 0.11, 0.1), ["p95, s, at most"]),
        (Measured(1000, 0, 50, 0.05, 0.3), ["p99, s, at most"]),
        (Measured(400, 0, 50, 0.05, 0.1), ["requests per second, at least"]),
    ],
)
def test_each_objective_can_be_missed(measured: Measured, missed: list[str]) -> None:
    assert [row.objective for row in judge(OBJECTIVES, measured) if not row.met] == missed


def test_a_run_without_a_request_meets_nothing() -> None:
    assert not any(row.met for row in judge(OBJECTIVES, Measured(0, 0, 0, 0, 0)))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lasts_as_long_as_it_says_and_has_objectives(shape: str) -> None:
    total = SECONDS[shape]
    assert users_at(shape, 0, total)
    assert users_at(shape, total - 0.01, total)
    assert users_at(shape, total + 0.01, total) is None
    read_objectives(PROJECT / "load" / "objectives.yaml", shape)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("default: {p95_seconds_max: fast}", "p95_seconds_max = 'fast'"),
        (EASY.replace("p99_seconds_max", "p99_max"), "p99_max"),
        (EASY + "stady: {}\n", "stady: unknown shape"),
        ("- a list", "expected a mapping"),
        ("default: [", "not YAML"),
    ],
)
def test_bad_objectives_are_named(text: str, named: str, tmp_path: Path) -> None:
    path = tmp_path / "objectives.yaml"
    path.write_text(text)
    with pytest.raises(BadObjectives) as refused:
        read_objectives(path, "steady")
    assert named in str(refused.value)


@pytest.mark.parametrize("host", ["http://example.com", "ftp://127.0.0.1", "127.0.0.1:8080"])
def test_another_host_is_not_loaded_by_mistake(host: str) -> None:
    command = [sys.executable, "-m", "load", "steady", "--host", host]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--host" in done.stderr

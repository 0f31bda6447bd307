"""The autoscaler adds replicas under Locust's load, and takes them away again, at no request's cost."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e import waits
from e2e.cluster import PROJECT, RELEASE, Cluster

MOST = 5
VALUES = {
    "autoscaling": {
        "enabled": True,
        "maxReplicas": MOST,
        # At once instead of after five minutes, and one at a time.
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 0,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 5}],
            }
        },
    },
    # What three replicas exceed under this load, and fall short of without it.
    "resources": {"requests": {"cpu": "30m"}},
}
LOAD_SECONDS = 120


@pytest.fixture
def autoscaled(release: Cluster) -> Iterator[Cluster]:
    """The release with an autoscaler that knows of no load; deployed afterwards as it was."""
    release.play("deploy.yml", chart_values=VALUES)

    def look() -> bool:
        scaler = release.get("hpa", RELEASE)
        active = [each for each in scaler["status"].get("conditions", []) if each["type"] == "ScalingActive"]
        return bool(active) and active[0]["status"] == "True" and len(release.ready_pods()) == 3

    waits.until("autoscaler idle", look)
    yield release
    release.play("deploy.yml")


def test_replicas_come_with_the_load_and_go_without_it(autoscaled: Cluster, tmp_path: Path) -> None:
    token = autoscaled.kubectl("exec", f"deployment/{RELEASE}", "--", "catalog-server", "token")
    command = [sys.executable, "-m", "load", "steady", "--host", autoscaled.url, "--seconds", str(LOAD_SECONDS)]
    environment = os.environ | {"CATALOG_TOKEN": token.strip()}
    with subprocess.Popen([*command, "--results", str(tmp_path)], cwd=PROJECT, env=environment) as locust:
        waits.until("replicas added", lambda: len(autoscaled.ready_pods()) > 3)
        locust.wait(LOAD_SECONDS + 60)
    waits.until("replicas taken away", lambda: len(autoscaled.pods()) == 3)

    with (tmp_path / "load_stats.csv").open(newline="", encoding="utf-8") as file:
        (total,) = (row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    assert int(total["Request Count"]) > 20 * LOAD_SECONDS
    assert int(total["Failure Count"]) == 0, (tmp_path / "load_failures.csv").read_text(encoding="utf-8")

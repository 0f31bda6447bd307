"""The verification finds seeded bugs on Kubernetes too: no fence, no drain, a readiness that always says yes."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.sabotage import bugs
from e2e.cluster import BIN, PROJECT, Cluster

pytestmark = pytest.mark.timeout(1800)

TESTS = Path(__file__).parents[1]
CODE = "ha-verify-sabotage"
MOUNT = "/sabotage"
FILES = sorted(path.relative_to(TESTS) for path in (TESTS / "chaos" / "sabotage").rglob("*.py"))


def key(path: Path) -> str:
    """A ConfigMap has no folders."""
    return str(path).replace("/", ".")


def chart_values(bug: str) -> dict[str, Any]:
    """The release with the bug's server, whose code is mounted: the image knows nothing of it."""
    items = [{"key": key(path), "path": str(path)} for path in FILES]
    return {
        "command": ["python3", f"{MOUNT}/chaos/sabotage/serve.py", bug, "serve"],
        "extraVolumes": [{"name": "sabotage", "configMap": {"name": CODE, "items": items}}],
        "extraVolumeMounts": [{"name": "sabotage", "mountPath": MOUNT, "readOnly": True}],
    }


@pytest.fixture(scope="module")
def sabotaged(cluster: Cluster) -> Iterator[Cluster]:
    """With the code in the namespace; the release is deployed afterwards as it was."""
    code = {key(path): (TESTS / path).read_text(encoding="utf-8") for path in FILES}
    document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": CODE}, "data": code}
    folder = cluster.state_dir / "sabotage"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "code.json").write_text(json.dumps(document), encoding="utf-8")
    cluster.kubectl("apply", "--filename", str(folder / "code.json"))
    yield cluster
    cluster.kubectl("delete", "configmap", CODE)
    cluster.play("deploy.yml")


@pytest.mark.parametrize("name", ["leader-without-fence", "no-drain", "always-ready"])
def test_a_bug_is_found_for_the_right_claim(name: str, sabotaged: Cluster, tmp_path: Path) -> None:
    bug = bugs.load(name)
    variables = sabotaged.variables | {"chart_values": chart_values(name)}
    words = [word for key, value in variables.items() for word in ("-e", f"{key}={json.dumps(value)}")]
    command = [
        BIN / "ha-verify",
        "run",
        bug.scenario,
        "--target",
        "kind",
        "--short",
        "--keep",
        "--json",
        "--seed",
        "20",
    ]
    done = subprocess.run(
        [*command, *bug.options, "--report", tmp_path / "report", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    results = {claim["claim"]: claim["result"] for claim in verdict["claims"]}
    assert results[bug.claim] == "FAIL", verdict
    assert done.returncode != 0

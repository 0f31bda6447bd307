"""One kind cluster for the session, with the release as the playbooks deploy it.

    pytest tests/e2e --keep-cluster      # use the cluster again next time

After a failure the namespace and the nodes' logs are in .state/<cluster>/failures/<test>.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.cluster import PROJECT, Cluster, find_tool

HTTP_PORT, POSTGRESQL_PORT = 31080, 31432
NAME = "catalog-e2e"


def missing() -> str | None:
    """What these tests need and do not find, and how to get it; None where nothing is."""
    if find_tool("docker") is None:
        return "docker is not installed: as root, ansible-playbook docker-engine.yml does it on Debian"
    done = subprocess.run(["docker", "info"], capture_output=True, text=True, check=False)
    if done.returncode:
        return (
            f"no Docker engine answers ({done.stderr.strip()}): as root, ansible-playbook docker-engine.yml starts one"
        )
    absent = [tool for tool in ("kind", "kubectl", "helm") if find_tool(tool) is None]
    if absent and find_tool("go") is None:
        return f"not installed: {', '.join(absent)}, nor Go to build them: see make kubernetes-tools"
    return None


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Created where there is none, and deleted afterwards unless --keep-cluster says otherwise."""
    if reason := missing():
        pytest.skip(reason)
    name = request.config.getoption("cluster_name")
    name = NAME if name == "pytest-kind" else name  # the plugin's default
    log = PROJECT / ".state" / f"{name}-playbooks.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    made = Cluster(name, http_port=HTTP_PORT, postgresql_port=POSTGRESQL_PORT, log=log)
    made.create()
    made.play("deploy.yml", event="chart deployed")
    made.wait_until_ready()
    yield made
    if not request.config.getoption("keep_cluster"):
        made.delete()


@pytest.fixture
def release(cluster: Cluster) -> Cluster:
    """Three ready replicas and a leader, however the test before left them."""
    cluster.wait_until_ready()
    return cluster


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first waits for the cluster, on a new machine for all that it is made of."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(1800))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    cluster = getattr(item, "funcargs", {}).get("cluster")
    if report.when == "call" and report.failed and cluster is not None:
        folder = cluster.state_dir / "failures" / re.sub(r"\W+", "-", item.name)
        cluster.dump(folder)
        report.sections.append(("cluster", f"objects, events and logs: {folder}"))
    return report

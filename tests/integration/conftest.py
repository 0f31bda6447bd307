"""Replicas as processes, on a database of the test's own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.replica import ReplicaProcess

SOURCES = """
catalogs:
  - {id: sample, name: Sample, type: yaml, properties: {yamlCatalogPath: catalog.yaml}, labels: [Sample]}
"""
CATALOG = "source: Sample\nmodels:\n" + "".join(
    f"  - {{name: group/model-{number:02d}, description: Model {number}, provider: Acme}}\n" for number in range(12)
)


@pytest.fixture
def sources_file(tmp_path: Path) -> Path:
    """One source with twelve models."""
    (tmp_path / "catalog.yaml").write_text(CATALOG)
    path = tmp_path / "sources.yaml"
    path.write_text(SOURCES)
    return path


StartReplica = Callable[..., ReplicaProcess]


@pytest.fixture
def start_replica(tmp_path: Path, sources_file: Path) -> Iterator[StartReplica]:
    """Starts `catalog-server serve` processes and ends them after the test."""
    started: list[ReplicaProcess] = []

    def start(name: str, dsn: str, **settings: str) -> ReplicaProcess:
        replica = ReplicaProcess(name, dsn, tmp_path, **({"sources_file": str(sources_file)} | settings))
        started.append(replica)
        return replica

    yield start
    for replica in started:
        replica.kill()

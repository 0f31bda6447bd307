"""One deployment for the tests of a module; destroyed after them, whatever happened."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.deployment import Deployment


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    # Not pytest's folder: as root it is closed to the unprivileged user that runs PostgreSQL.
    folder = Path(tempfile.mkdtemp(prefix="catalog-deploy-"))
    folder.chmod(0o755)
    made = Deployment(folder)
    yield made
    result = made.play("destroy.yml")
    assert result.returncode == 0, result.stdout
    shutil.rmtree(folder)

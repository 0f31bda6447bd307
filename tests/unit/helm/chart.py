"""A chart as `helm template` renders it. Each set of values is rendered once, however many tests look at it."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[3]
CHART = PROJECT / "helm" / "catalog-server"
TOOLS = PROJECT / ".cache" / "kubernetes" / "bin"  # where the playbooks put what they build
RELEASE, NAMESPACE = "catalog-server", "catalog"

Values = Mapping[str, Any]
Object = dict[str, Any]

TRIAL: Values = {"postgresql": {"enabled": True}}
EXTERNAL: Values = {"externalDatabase": {"existingSecret": "my-database"}}


def find_helm() -> str | None:
    return shutil.which("helm", path=os.pathsep.join([str(TOOLS), os.environ.get("PATH", "")]))


needs_helm = pytest.mark.skipif(
    find_helm() is None, reason="helm is not installed: make kubernetes-tools builds it, or put it on the PATH"
)


class Refused(Exception):
    """What helm said instead of rendering."""


class Rendered:
    """The objects of one rendering."""

    def __init__(self, text: str) -> None:
        self.objects: list[Object] = [each for each in yaml.safe_load_all(text) if each]

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)

    def has(self, kind: str, name: str = RELEASE) -> bool:
        return any((each["kind"], each["metadata"]["name"]) == (kind, name) for each in self)

    def get(self, kind: str, name: str = RELEASE) -> Object:
        (found,) = (each for each in self if (each["kind"], each["metadata"]["name"]) == (kind, name))
        return found

    @property
    def pod(self) -> Object:
        """The pod of a replica."""
        spec: Object = self.get("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> Object:
        (found,) = self.pod["containers"]
        return dict(found)

    @property
    def settings(self) -> dict[str, Any]:
        """As the server reads them."""
        return dict(yaml.safe_load(self.get("ConfigMap", f"{RELEASE}-config")["data"]["catalog.yaml"]))


def render(*values: Values, release: str = RELEASE) -> Rendered:
    """The values are laid over each other, later ones win. Raises `Refused`."""
    return Rendered(template(CHART, release, *(json.dumps(each) for each in values)))


@functools.lru_cache
def template(chart: Path, release: str, *values: str) -> str:
    """The chart with these values, each as JSON. Raises `Refused`."""
    helm = find_helm()
    assert helm is not None
    command = [helm, "template", release, str(chart), "--namespace", NAMESPACE]
    for each in values:
        command += ["--set-json", each]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout


def defaults(chart: Path = CHART) -> dict[str, Any]:
    return dict(yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8")))


def schema(chart: Path = CHART) -> dict[str, Any]:
    return dict(json.loads((chart / "values.schema.json").read_text(encoding="utf-8")))

"""What the Kubernetes API takes: its schemas, of the oldest version that the charts are for, and of a newer one."""

import functools
from typing import Any

import jsonschema
from kubernetes_validate import utils as kubernetes
from referencing import Registry, Resource

from unit.helm.chart import Object

OLDEST, NEWEST = "1.30", "1.34"


@functools.lru_cache
def load(name: str, version: str) -> Any:
    return kubernetes.schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json", version)


@functools.lru_cache
def validator(kind: str, api_version: str, version: str) -> jsonschema.Draft202012Validator:
    """Made once for a kind: the definitions are large."""
    group, _, name = api_version.rpartition("/")
    file = "-".join(filter(None, [kind.lower(), group.split(".")[0], name]))
    schema = load(file, version)
    registry: Any = Resource.from_contents(schema) @ (
        Resource.from_contents(load("_definitions", version)) @ Registry()
    )
    return jsonschema.Draft202012Validator(schema, registry=registry)


def problems(document: Object, version: str) -> list[str]:
    """Of this one object, each with where it is."""
    found = validator(document["kind"], document["apiVersion"], version).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]

"""Service-level objectives: read from a file, held against what was measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from load.shapes import SHAPES

DEFAULT_FILE = Path(__file__).with_name("objectives.yaml")


class BadObjectives(Exception):
    """The file can not be used; the message names it, the field, the value and the remedy."""


class Objectives(BaseModel):
    """What users may expect. Times count from the intended start of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    error_rate_max: float = Field(ge=0, le=1)
    p95_seconds_max: float = Field(gt=0)
    p99_seconds_max: float = Field(gt=0)
    throughput_min: float = Field(ge=0, description="Requests per second")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a run gave."""

    requests: int
    failures: int
    seconds: float
    p95_seconds: float
    p99_seconds: float


@dataclass(frozen=True, slots=True)
class Row:
    """One objective, and whether it was met."""

    objective: str
    measured: float
    bound: float
    met: bool


def read_objectives(path: Path, shape: str) -> Objectives:
    """The default ones, with those that the file changes for the shape. Raises `BadObjectives`."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadObjectives(f"{path}: {error.strerror}. Name a file that can be read") from error
    except yaml.YAMLError as error:
        raise BadObjectives(f"{path} is not YAML: {error}") from error
    if not isinstance(document, dict) or not all(isinstance(part, dict) for part in document.values()):
        raise BadObjectives(f"{path}: expected a mapping for `default` and for shapes; see {DEFAULT_FILE}")
    unknown = set(document) - {"default", *SHAPES}
    if unknown:
        known = ", ".join(["default", *SHAPES])
        raise BadObjectives(f"{path}: {sorted(unknown)[0]}: unknown shape. Choose from: {known}")
    try:
        return Objectives.model_validate(document.get("default", {}) | document.get(shape, {}))
    except ValidationError as error:
        raise BadObjectives(f"{path}: {'; '.join(map(_told, error.errors()))}. Mend it; see {DEFAULT_FILE}") from error


def _told(problem: Any) -> str:
    field = ".".join(map(str, problem["loc"]))
    given = "" if problem["type"] == "missing" else f" = {problem['input']!r}"
    return f"{field}{given}: {problem['msg']}"


def judge(objectives: Objectives, measured: Measured) -> Sequence[Row]:
    """A run without a request meets nothing."""
    some = measured.requests > 0
    error_rate = measured.failures / measured.requests if some else 1.0
    throughput = measured.requests / measured.seconds if measured.seconds else 0.0
    upper = [
        ("error rate, at most", error_rate, objectives.error_rate_max),
        ("p95, s, at most", measured.p95_seconds, objectives.p95_seconds_max),
        ("p99, s, at most", measured.p99_seconds, objectives.p99_seconds_max),
    ]
    rows = [Row(name, value, bound, some and value <= bound) for name, value, bound in upper]
    is_enough = some and throughput >= objectives.throughput_min
    return [*rows, Row("requests per second, at least", throughput, objectives.throughput_min, is_enough)]

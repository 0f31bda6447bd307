"""A catalog file: the models of one source.

A model that is broken is left out and named; the others are used. A file that is not a catalog at all is
refused (`Unreadable`), so that it replaces nothing.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
    model_validator,
)

from catalog_server.catalog.documents import (
    Unreadable,
    explain,
    load_mapping,
    plain_json,
    unknown_fields,
    without_nulls,
)

log = logging.getLogger(__name__)

MAX_WARNINGS = 20  # of each file; a field unknown to this server is often unknown in every model

_VALUE_FIELDS = {
    "MetadataIntValue": "int_value",
    "MetadataDoubleValue": "double_value",
    "MetadataStringValue": "string_value",
    "MetadataBoolValue": "bool_value",
    "MetadataStructValue": "struct_value",
    "MetadataProtoValue": "proto_value",
}

Milliseconds = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
Integer = Annotated[str, StringConstraints(pattern=r"^-?[0-9]{1,100}$")]


class _Entry(BaseModel):
    model_config = ConfigDict(coerce_numbers_to_str=True, allow_inf_nan=False)


class _Property(_Entry):
    metadata_type: Literal[tuple(_VALUE_FIELDS)] = Field(alias="metadataType")  # type: ignore[valid-type]
    int_value: Integer | None = None
    double_value: float | None = None
    string_value: str | None = None
    bool_value: bool | None = None
    struct_value: str | None = None
    type: str | None = None
    proto_value: str | None = None

    @model_validator(mode="after")
    def _has_its_value(self) -> "_Property":
        field = _VALUE_FIELDS[self.metadata_type]
        if getattr(self, field) is None:
            raise ValueError(f"{self.metadata_type} needs {field}")
        return self


class _Timed(_Entry):
    custom_properties: dict[str, _Property] = Field({}, alias="customProperties")
    created: Milliseconds | None = Field(None, alias="createTimeSinceEpoch")
    updated: Milliseconds | None = Field(None, alias="lastUpdateTimeSinceEpoch")


class _Artifact(_Timed):
    artifact_type: Literal["model-artifact", "metrics-artifact"] = Field("model-artifact", alias="artifactType")
    uri: str | None = Field(None, min_length=1)
    metrics_type: Literal["performance-metrics", "accuracy-metrics"] | None = Field(None, alias="metricsType")

    @model_validator(mode="after")
    def _is_complete(self) -> "_Artifact":
        needed = "uri" if self.artifact_type == "model-artifact" else "metrics_type"
        if getattr(self, needed) is None:
            name = type(self).model_fields[needed].alias or needed
            raise ValueError(f"a {self.artifact_type} needs {name}")
        return self


class _Model(_Timed):
    name: str = Field(min_length=1, max_length=512)
    description: str | None = None
    readme: str | None = None
    maturity: str | None = None
    language: list[str] | None = None
    tasks: list[str] | None = None
    provider: str | None = None
    logo: str | None = None
    license: str | None = None
    license_link: str | None = Field(None, alias="licenseLink")
    library_name: str | None = Field(None, alias="libraryName")
    external_id: str | None = Field(None, alias="externalId")
    artifacts: list[_Artifact] = []


@dataclass(frozen=True)
class CatalogArtifact:
    """An artifact as it is served, but for id and times; the times are those the file states, if it does."""

    document: Mapping[str, JsonValue]
    created_ms: int | None
    updated_ms: int | None


@dataclass(frozen=True)
class CatalogModel:
    """A model as it is served, but for id, source and times; the times are those the file states, if any."""

    name: str
    document: Mapping[str, JsonValue]
    search_text: str
    accuracy: float | None
    created_ms: int | None
    updated_ms: int | None
    artifacts: tuple[CatalogArtifact, ...]


@dataclass(frozen=True)
class Catalog:
    """The models that can be served, and a sentence for each that can not."""

    models: tuple[CatalogModel, ...]
    problems: tuple[str, ...]


def parse_catalog(content: bytes, *, is_wanted: Callable[[str], bool], where: str) -> Catalog:
    """The wanted models of a catalog file; `where` names it in log lines. Raises `Unreadable`."""
    document = load_mapping(content)
    entries = document.get("models")
    if "models" not in document or not isinstance(entries, list | None):
        raise Unreadable("it has no list `models`")
    models: dict[str, CatalogModel] = {}
    places: dict[str, str] = {}
    problems: list[str] = []
    unknown: list[str] = [str(key) for key in document if key not in ("models", "source")]
    for index, entry in enumerate(entries or []):
        place = f"models[{index}]"
        name = entry.get("name") if isinstance(entry, dict) else None
        if isinstance(name, str):
            if not is_wanted(name):
                continue
            place = f"{place} ({name})"
        try:
            model = _model(entry, place, unknown)
        except _Broken as error:
            problems.append(f"{place}: {error}")
            continue
        if not is_wanted(model.name):
            continue
        if model.name in models:
            problems.append(f"{place}: the name is taken by {places[model.name]}")
            continue
        models[model.name], places[model.name] = model, f"models[{index}]"
    _warn(where, unknown)
    return Catalog(tuple(models.values()), tuple(problems))


class _Broken(Exception):
    """A model that can not be served, and why."""


def _model(entry: Any, place: str, unknown: list[str]) -> CatalogModel:
    if not isinstance(entry, dict):
        raise _Broken("is not a mapping of fields to values")
    unknown += [f"{place}.{name}" for name in unknown_fields(entry, _Model)]
    entry = without_nulls(entry)
    artifacts = entry.get("artifacts")
    if isinstance(artifacts, list):
        for index, artifact in enumerate(artifacts):
            if isinstance(artifact, dict):
                names = unknown_fields(artifact, _Artifact)
                unknown += [f"{place}.artifacts[{index}].{name}" for name in names]
    try:
        parsed = _Model.model_validate(plain_json(entry))
    except ValidationError as error:
        raise _Broken("; ".join(f"{at} = {value}: {text}" for at, value, text in explain(error))) from error
    except ValueError as error:
        raise _Broken(str(error)) from error
    return CatalogModel(
        name=parsed.name,
        document=_document(parsed),
        search_text=_search_text(parsed),
        accuracy=_accuracy(parsed),
        created_ms=_milliseconds(parsed.created),
        updated_ms=_milliseconds(parsed.updated),
        artifacts=tuple(
            CatalogArtifact(_document(artifact), _milliseconds(artifact.created), _milliseconds(artifact.updated))
            for artifact in parsed.artifacts
        ),
    )


def _document(entry: _Timed) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = entry.model_dump(
        by_alias=True, exclude_none=True, exclude={"created", "updated", "artifacts"}
    )
    return document


def _search_text(model: _Model) -> str:
    parts = [model.name, model.description, model.provider, model.library_name, *(model.tasks or [])]
    return "\n".join(part for part in parts if part).casefold()


def _accuracy(model: _Model) -> float | None:
    """The overall average of the model's accuracy metrics, else its own property `accuracy`."""
    for artifact in model.artifacts:
        if artifact.metrics_type == "accuracy-metrics" and "overall_average" in artifact.custom_properties:
            return _number(artifact.custom_properties["overall_average"])
    return _number(model.custom_properties["accuracy"]) if "accuracy" in model.custom_properties else None


def _number(value: _Property) -> float | None:
    return value.double_value if value.double_value is not None else _float(value.int_value)


def _float(digits: str | None) -> float | None:
    return None if digits is None else float(digits)


def _milliseconds(digits: str | None) -> int | None:
    return None if digits is None else int(digits)


def _warn(where: str, unknown: list[str]) -> None:
    if unknown:
        more = f" and {len(unknown) - MAX_WARNINGS} more" if len(unknown) > MAX_WARNINGS else ""
        log.warning("%s: unknown fields are left out: %s%s", where, ", ".join(unknown[:MAX_WARNINGS]), more)

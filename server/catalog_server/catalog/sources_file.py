"""The sources file: which sources there are, and where their catalogs come from.

A file with a problem is refused as a whole, with all problems named: a source that a slip of the keyboard
took out of the file would otherwise be removed. Fields that are unknown are left out with a warning.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalog_server.catalog.documents import (
    Unreadable,
    explain,
    load_mapping,
    plain_json,
    shorten,
    unknown_fields,
    without_nulls,
)

log = logging.getLogger(__name__)

SOURCE_LISTS = ("catalogs", "model_catalogs")
_REMEDY = "Mend it; see samples/catalog/sources.yaml"
PASSED_OVER = ("mcp_catalogs", "namedQueries")


class SourcesFileError(Exception):
    """The file can not be used; `problems` are complete sentences with place, value and remedy."""

    def __init__(self, path: Path, problems: list[str]) -> None:
        super().__init__(f"{path}: " + "; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Source:
    """A source as the file describes it. The path in its properties is absolute."""

    id: str
    name: str
    type: str
    asset_type: str
    enabled: bool
    labels: tuple[str, ...]
    included_models: tuple[str, ...]
    excluded_models: tuple[str, ...]
    properties: Mapping[str, str]
    refresh_interval_seconds: float


@dataclass(frozen=True)
class Label:
    """A label as the file describes it; `document` is what is served."""

    asset_type: str
    name: str | None
    document: Mapping[str, Any]


@dataclass(frozen=True)
class SourcesFile:
    """All that the file says."""

    sources: tuple[Source, ...]
    labels: tuple[Label, ...]


class _Properties(BaseModel):
    yaml_catalog_path: str | None = Field(None, alias="yamlCatalogPath", min_length=1)
    url: str | None = None
    refresh_interval_seconds: float | None = Field(None, alias="refreshIntervalSeconds", ge=1, le=86_400 * 365)


class _Source(BaseModel):
    model_config = ConfigDict(strict=True)

    id: str = Field(min_length=1, max_length=256)
    name: str = Field(min_length=1, max_length=256)
    type: str = "yaml"
    asset_type: str = Field("models", alias="assetType", min_length=1)
    enabled: bool = True
    labels: list[str] = []
    included_models: list[str] = Field([], alias="includedModels")
    excluded_models: list[str] = Field([], alias="excludedModels")
    properties: _Properties = _Properties()


def parse_sources(content: bytes, *, path: Path, default_refresh_interval_seconds: float) -> SourcesFile:
    """The sources and labels of a file; relative paths in it are relative to the folder of `path`.

    Raises `SourcesFileError` with every problem found.
    """
    try:
        document = load_mapping(content)
    except Unreadable as error:
        raise SourcesFileError(path, [f"{error}. {_REMEDY}"]) from error
    passed_over = [name for name in PASSED_OVER if document.get(name)]
    if passed_over:
        log.info("%s: passed over: %s", path, ", ".join(passed_over))
    for name in sorted(str(key) for key in document if key not in (*SOURCE_LISTS, *PASSED_OVER, "labels")):
        log.warning("%s: unknown field %s is left out", path, name)
    problems: list[str] = []
    if not any(name in document for name in SOURCE_LISTS):
        problems.append("it has no list of sources. Begin the list with `catalogs:`, empty if you mean none")
    sources: dict[str, Source] = {}
    for place, entry in _entries(document, SOURCE_LISTS, problems):
        source = _source(entry, place, path, default_refresh_interval_seconds, problems)
        if source is not None:
            sources[place] = source
    problems += _duplicates(sources)
    labels = [_label(entry, place, problems) for place, entry in _entries(document, ("labels",), problems)]
    if problems:
        raise SourcesFileError(path, problems)
    return SourcesFile(tuple(sources.values()), tuple(label for label in labels if label is not None))


def _entries(
    document: Mapping[Any, Any], names: tuple[str, ...], problems: list[str]
) -> Iterator[tuple[str, dict[Any, Any]]]:
    """Every mapping in the named lists, with its place."""
    for name in names:
        entries = document.get(name) or []
        if not isinstance(entries, list):
            problems.append(f"{name} = {shorten(repr(entries))}: is not a list. Begin each entry with `- `")
            continue
        for index, entry in enumerate(entries):
            if isinstance(entry, dict):
                yield f"{name}[{index}]", entry
            else:
                problems.append(
                    f"{name}[{index}] = {shorten(repr(entry))}: is not a mapping. Write `field: value` lines"
                )


def _source(
    entry: dict[Any, Any], place: str, path: Path, default_interval_seconds: float, problems: list[str]
) -> Source | None:
    entry = without_nulls(entry)
    for name in unknown_fields(entry, _Source):
        log.warning("%s: %s: unknown field %s is left out", path, place, name)
    properties = entry.get("properties")
    if isinstance(properties, dict):
        entry["properties"] = without_nulls(properties)
        for name in unknown_fields(properties, _Properties):
            log.warning("%s: %s.properties: unknown field %s is left out", path, place, name)
    try:
        parsed = _Source.model_validate(plain_json(entry))
    except ValidationError as error:
        problems += [_sentence(f"{place}.{where}", *rest) for where, *rest in explain(error)]
        return None
    except ValueError as error:
        problems.append(f"{place}: {error}. {_REMEDY}")
        return None
    missing = _missing_property(parsed)
    if missing:
        problems.append(f"{place}.properties.{missing}")
        return None
    return Source(
        id=parsed.id,
        name=parsed.name,
        type=parsed.type,
        asset_type=parsed.asset_type,
        enabled=parsed.enabled,
        labels=tuple(parsed.labels),
        included_models=tuple(parsed.included_models),
        excluded_models=tuple(parsed.excluded_models),
        properties=_locations(parsed.properties, path),
        refresh_interval_seconds=parsed.properties.refresh_interval_seconds or default_interval_seconds,
    )


def _missing_property(source: _Source) -> str | None:
    """What a source of this type can not do without. Other types are listed, with an error of their own."""
    if source.type == "yaml" and not source.properties.yaml_catalog_path:
        return "yamlCatalogPath: is required for type yaml. Name the catalog file"
    if source.type == "http":
        url = source.properties.url or ""
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            return f"url = {url!r}: is not an address. Write http://host/path or https://host/path"
    return None


def _locations(properties: _Properties, path: Path) -> dict[str, str]:
    locations = {}
    if properties.yaml_catalog_path:
        locations["yamlCatalogPath"] = str(path.absolute().parent / properties.yaml_catalog_path)
    if properties.url:
        locations["url"] = properties.url
    return locations


def _duplicates(sources: Mapping[str, Source]) -> list[str]:
    places = defaultdict(list)
    for place, source in sources.items():
        places[source.id].append(place)
    return [
        f"{' and '.join(f'{place}.id' for place in same)} = {source_id!r}: used twice. "
        "Give each source an id of its own"
        for source_id, same in places.items()
        if len(same) > 1
    ]


def _label(entry: dict[Any, Any], place: str, problems: list[str]) -> Label | None:
    """Labels are free-form beyond name and assetType: what the file says is what is served."""
    name, asset_type = entry.get("name"), entry.get("assetType") or "models"
    if name is not None and not isinstance(name, str):
        problems.append(_sentence(f"{place}.name", repr(name), "is not text", "Put it in quotes"))
    elif not isinstance(asset_type, str):
        problems.append(_sentence(f"{place}.assetType", repr(asset_type), "is not text", "Put it in quotes"))
    else:
        document = {key: value for key, value in entry.items() if key != "assetType"}
        try:
            return Label(asset_type, name, plain_json(document))
        except ValueError as error:
            problems.append(f"{place}: {error}. {_REMEDY}")
    return None


def _sentence(place: str, value: str, message: str, remedy: str = "") -> str:
    return f"{place} = {value}: {message}. {remedy or _REMEDY}"

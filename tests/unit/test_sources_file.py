"""The sources file: its lists, defaults, paths and refusals."""

import logging
from pathlib import Path

import pytest

from catalog_server.catalog.sources_file import SourcesFile, SourcesFileError, parse_sources

PATH = Path("/etc/catalog/sources.yaml")


def parse(text: str) -> SourcesFile:
    return parse_sources(text.encode(), path=PATH, default_refresh_interval_seconds=300)


def test_sources_of_both_lists_are_read_with_their_defaults() -> None:
    file = parse("""
catalogs:
  - {name: Sample, id: sample, type: yaml, properties: {yamlCatalogPath: sample.yaml}}
model_catalogs:
  - name: Remote
    id: remote
    type: http
    enabled: false
    labels: [Far]
    includedModels: ["a*"]
    excludedModels: ["*b"]
    properties: {url: "https://example.org/c.yaml", refreshIntervalSeconds: 60}
""")
    sample, remote = file.sources
    assert sample.properties == {"yamlCatalogPath": "/etc/catalog/sample.yaml"}, "relative to the sources file"
    assert (sample.enabled, sample.asset_type, sample.refresh_interval_seconds) == (True, "models", 300)
    assert (sample.labels, sample.included_models, sample.excluded_models) == ((), (), ())
    assert (remote.enabled, remote.labels, remote.refresh_interval_seconds) == (False, ("Far",), 60)
    assert (remote.included_models, remote.excluded_models) == (("a*",), ("*b",))
    assert remote.properties == {"url": "https://example.org/c.yaml"}


def test_an_absolute_path_is_kept() -> None:
    (source,) = parse("catalogs: [{name: A, id: a, properties: {yamlCatalogPath: /data/a.yaml}}]").sources
    assert source.properties["yamlCatalogPath"] == "/data/a.yaml"


def test_labels_keep_exactly_their_keys_but_the_asset_type() -> None:
    labels = parse("""
catalogs: []
labels:
  - {name: Sample, displayName: Sample models, assetType: models, weight: 1}
  - {name: null, displayName: Others}
  - {name: Tools, assetType: mcp_servers}
""").labels
    assert [(label.asset_type, label.name) for label in labels] == [
        ("models", "Sample"),
        ("models", None),
        ("mcp_servers", "Tools"),
    ]
    assert labels[0].document == {"name": "Sample", "displayName": "Sample models", "weight": 1}
    assert labels[1].document == {"name": None, "displayName": "Others"}


def test_what_other_servers_know_is_passed_over_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        parse("catalogs: []\nmcp_catalogs: [{name: x}]\nnamedQueries: {q: {}}\n")
    (line,) = caplog.messages
    assert "mcp_catalogs, namedQueries" in line


def test_unknown_fields_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    text = "catalogs: [{name: A, id: a, colour: red, properties: {yamlCatalogPath: a, token: t}}]\nwhat: 1\n"
    with caplog.at_level(logging.WARNING):
        (source,) = parse(text).sources
    assert set(source.properties) == {"yamlCatalogPath"}
    for name in ("colour", "token", "what"):
        assert name in caplog.text


SOURCE = "{name: A, id: same, properties: {yamlCatalogPath: a}}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"catalogs: [{SOURCE}, {SOURCE}]", "catalogs[0].id and catalogs[1].id = 'same': used twice"),
        (f"catalogs: [{SOURCE}]\nmodel_catalogs: [{SOURCE}]", "catalogs[0].id and model_catalogs[0].id"),
        ("catalogs: [{name: A, properties: {yamlCatalogPath: a}}]", "catalogs[0].id = (missing)"),
        ("catalogs: [{name: A, id: 7, properties: {yamlCatalogPath: a}}]", "catalogs[0].id = 7"),
        ("catalogs: [{name: A, id: a, enabled: 'yes', properties: {yamlCatalogPath: a}}]", "catalogs[0].enabled"),
        ("catalogs: [{name: A, id: a, labels: x, properties: {yamlCatalogPath: a}}]", "catalogs[0].labels = 'x'"),
        ("catalogs: [{name: A, id: a, type: yaml}]", "catalogs[0].properties.yamlCatalogPath: is required"),
        ("catalogs: [{name: A, id: a, type: http}]", "catalogs[0].properties.url = ''"),
        ("catalogs: [{name: A, id: a, type: http, properties: {url: ftp://x}}]", "http://host/path"),
        (
            "catalogs: [{name: A, id: a, properties: {yamlCatalogPath: a, refreshIntervalSeconds: 0}}]",
            "refreshIntervalSeconds",
        ),
        ('catalogs: [{name: "a\\0", id: a, properties: {yamlCatalogPath: a}}]', "NUL"),
        ("catalogs: {a: b}", "is not a list"),
        ("catalogs: [text]", "catalogs[0] = 'text': is not a mapping"),
        ("labels: []", "no list of sources"),
        ("catalogs: []\nlabels: [{name: 1}]", "labels[0].name = 1"),
        ("catalogs: []\nlabels: [{name: a, since: 2024-01-01}]", "labels[0]"),
        ("catalogs: [", "not YAML: line"),
        ("", "not a mapping"),
    ],
)
def test_a_problem_is_refused_with_file_place_and_remedy(text: str, said: str) -> None:
    with pytest.raises(SourcesFileError) as refusal:
        parse(text)
    assert str(refusal.value).startswith(f"{PATH}: ")
    assert said in str(refusal.value)
    (problem,) = refusal.value.problems
    assert ". " in problem, "a remedy follows"


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(SourcesFileError) as refusal:
        parse("catalogs: [{id: 1}, text]\nlabels: [{name: 1}]")
    assert len(refusal.value.problems) >= 4


def test_a_source_of_an_unknown_type_does_not_cost_the_others() -> None:
    text = "catalogs: [{name: A, id: a, type: hf}, {name: B, id: b, properties: {yamlCatalogPath: b}}]"
    assert [source.type for source in parse(text).sources] == ["hf", "yaml"]

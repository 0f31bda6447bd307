"""Catalog files: what is taken, what is left out and named, what is refused."""

import logging

import pytest

from catalog_server.catalog.catalog_file import Catalog, parse_catalog
from catalog_server.catalog.documents import Unreadable


def parse(text: str | bytes) -> Catalog:
    content = text.encode() if isinstance(text, str) else text
    return parse_catalog(content, is_wanted=lambda name: not name.startswith("unwanted"), where="test")


def test_a_model_is_served_as_the_file_describes_it() -> None:
    (model,) = parse("""
source: Sample
models:
  - name: group/model-a
    description: Does Things
    tasks: [Text-Generation]
    language: [en]
    provider: Acme
    libraryName: transformers
    licenseLink: https://example.org
    createTimeSinceEpoch: 1700000000000
    lastUpdateTimeSinceEpoch: "1700000000001"
    customProperties:
      accuracy: {metadataType: MetadataDoubleValue, double_value: 0.5}
      parameters: {metadataType: MetadataIntValue, int_value: 7}
    artifacts:
      - {uri: "oci://a", customProperties: {}}
      - artifactType: metrics-artifact
        metricsType: accuracy-metrics
        customProperties: {overall_average: {metadataType: MetadataDoubleValue, double_value: 61.5}}
""").models
    assert model.document == {
        "name": "group/model-a",
        "description": "Does Things",
        "tasks": ["Text-Generation"],
        "language": ["en"],
        "provider": "Acme",
        "libraryName": "transformers",
        "licenseLink": "https://example.org",
        "customProperties": {
            "accuracy": {"metadataType": "MetadataDoubleValue", "double_value": 0.5},
            "parameters": {"metadataType": "MetadataIntValue", "int_value": "7"},
        },
    }
    assert (model.created_ms, model.updated_ms) == (1700000000000, 1700000000001)
    assert [artifact.document["artifactType"] for artifact in model.artifacts] == ["model-artifact", "metrics-artifact"]
    assert model.accuracy == 61.5, "measured accuracy comes before the stated one"
    for part in ("group/model-a", "does things", "text-generation", "acme", "transformers"):
        assert part in model.search_text


def test_stated_accuracy_is_used_where_none_was_measured() -> None:
    text = "models: [{name: a, customProperties: {accuracy: {metadataType: MetadataDoubleValue, double_value: 0.7}}}]"
    assert parse(text).models[0].accuracy == 0.7
    assert parse("models: [{name: a}]").models[0].accuracy is None


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("{description: no name}", "name = (missing)"),
        ("{name: broken, tasks: chat}", "tasks = 'chat'"),
        ("{name: broken, description: [1]}", "description"),
        ("{name: broken, description: 2024-01-01}", "quotes"),
        ('{name: broken, description: "a\\0b"}', "NUL"),
        ("{name: broken, customProperties: {x: {metadataType: Nonsense}}}", "customProperties.x.metadataType"),
        ("{name: broken, customProperties: {x: {metadataType: MetadataIntValue}}}", "needs int_value"),
        ("{name: broken, customProperties: {x: {metadataType: MetadataDoubleValue, double_value: .nan}}}", "JSON"),
        ("{name: broken, customProperties: {x: {metadataType: MetadataDoubleValue, double_value: 'inf'}}}", "finite"),
        ("{name: broken, customProperties: {1: {metadataType: MetadataIntValue, int_value: 1}}}", "not text"),
        ("{name: broken, createTimeSinceEpoch: yesterday}", "createTimeSinceEpoch"),
        ("{name: broken, artifacts: [{artifactType: model-artifact}]}", "needs uri"),
        ("{name: broken, artifacts: [{artifactType: metrics-artifact}]}", "needs metricsType"),
        ("{name: good}", "taken by models[0]"),
        ("just text", "is not a mapping"),
    ],
)
def test_a_broken_model_is_named_and_the_others_are_used(broken: str, said: str) -> None:
    catalog = parse(f"models:\n  - name: good\n  - {broken}\n  - name: last\n")
    assert [model.name for model in catalog.models] == ["good", "last"]
    (problem,) = catalog.problems
    assert problem.startswith("models[1]")
    assert said in problem
    if "broken" in broken:
        assert "(broken)" in problem


def test_a_broken_model_that_is_not_wanted_is_no_problem() -> None:
    catalog = parse("models: [{name: unwanted, tasks: 1}, {name: good}]")
    assert [model.name for model in catalog.models] == ["good"]
    assert not catalog.problems


def test_unknown_fields_are_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        catalog = parse("models: [{name: good, colour: red, artifacts: [{uri: x, weight: 1}]}]\nextra: 1\n")
    (model,) = catalog.models
    assert not catalog.problems
    assert "colour" not in model.document
    assert "weight" not in model.artifacts[0].document
    assert "models[0] (good).colour" in caplog.text
    assert "artifacts[0].weight" in caplog.text
    assert "extra" in caplog.text


def test_an_empty_list_is_a_catalog_without_models() -> None:
    assert parse("models: []") == parse("models:\n") == Catalog((), ())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a mapping"),
        (b"- a\n- b\n", "not a mapping"),
        (b"modles: []", "no list `models`"),
        (b"models: {a: b}", "no list `models`"),
        (b"models: [unclosed", "not YAML: line"),
        (b"models: []\nmodels: !!python/object/apply:os.getcwd []", "not YAML"),
        (b'models: [{name: "\\uD800"}]', "not YAML"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"models: " + b"[" * 5000, "not YAML"),
    ],
)
def test_what_is_no_catalog_is_refused_with_the_reason(content: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said.replace("`", ".")):
        parse(content)


def test_aliases_that_stand_for_gigabytes_are_refused() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        levels.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    with pytest.raises(Unreadable, match="aliases"):
        parse("\n".join([*levels, "models: [{name: bomb, tasks: *a9}]"]))


def test_an_alias_that_contains_itself_is_refused() -> None:
    with pytest.raises(Unreadable, match="aliases"):
        parse("models: &loop [*loop]")

"""The store and the queries, on PostgreSQL and SQLite."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog_server.catalog import queries, store
from catalog_server.catalog.catalog_file import CatalogModel, parse_catalog
from catalog_server.catalog.queries import Listing
from catalog_server.catalog.reader import Validators
from catalog_server.catalog.sources_file import SourcesFile, parse_sources
from catalog_server.catalog.store import Outcome
from catalog_server.db import Database

GOOD = Outcome(store.AVAILABLE, None, "revision", Validators())


def sources_file(*entries: dict[str, Any], labels: list[dict[str, Any]] | None = None) -> SourcesFile:
    defaults = {"type": "yaml", "properties": {"yamlCatalogPath": "x.yaml"}}
    document = {"catalogs": [defaults | {"name": entry["id"].title()} | entry for entry in entries]}
    content = json.dumps(document | {"labels": labels or []}).encode()
    return parse_sources(content, path=Path("/data/sources.yaml"), default_refresh_interval_seconds=300)


def catalog(*models: str | dict[str, Any]) -> tuple[CatalogModel, ...]:
    entries = [{"name": model} if isinstance(model, str) else model for model in models]
    parsed = parse_catalog(json.dumps({"models": entries}).encode(), is_wanted=lambda name: True, where="test")
    assert not parsed.problems
    return parsed.models


def reconcile(database: Database, file: SourcesFile) -> list[str]:
    with database.session() as session, session.transaction():
        return store.reconcile(session, file)


def load(database: Database, source_id: str, *models: str | dict[str, Any]) -> int:
    with database.session() as session, session.transaction():
        written = store.replace_models(session, source_id, catalog(*models))
        store.record(session, source_id, GOOD)
        return written


def served(database: Database, **filters: Any) -> list[str]:
    wanted = {"sources": [], "labels": [], "text": ""} | filters
    with database.session() as session:
        rows = queries.models(session, Listing("ID", False, 1000), **wanted)
    return [json.loads(row.document)["name"] for row in rows]


def row(database: Database, source_id: str, name: str) -> Any:
    with database.session() as session:
        return queries.model(session, source_id, name)


def listed(database: Database) -> dict[str, Any]:
    with database.session() as session:
        rows = queries.sources(session, Listing("ID", False, 100), asset_type="models", name="")
    return {row.id: row for row in rows}


def due(database: Database) -> list[str]:
    with database.session() as session:
        return store.due_sources(session)


@pytest.fixture
def two(any_database: Database) -> Database:
    """Sources a and b, with a model each."""
    reconcile(any_database, sources_file({"id": "a", "labels": ["A"]}, {"id": "b"}))
    load(any_database, "a", "group/one")
    load(any_database, "b", "group/two")
    return any_database


def test_an_unchanged_sources_file_changes_nothing(any_database: Database) -> None:
    file = sources_file({"id": "a", "labels": ["A"]}, {"id": "b", "enabled": False}, labels=[{"name": None}])
    assert reconcile(any_database, file) == ["a"]
    load(any_database, "a", "one")
    assert reconcile(any_database, file) == []
    assert listed(any_database)["a"].status == "available"


def test_a_new_source_is_listed_and_due_before_its_first_refresh(any_database: Database) -> None:
    reconcile(any_database, sources_file({"id": "a"}))
    assert (listed(any_database)["a"].status, listed(any_database)["a"].error) == ("error", "not read yet")
    assert due(any_database) == ["a"]


def test_a_refreshed_source_is_due_only_after_its_interval(two: Database) -> None:
    assert due(two) == []
    with two.session() as session:
        now = session.dialect.after("seconds")
        session.execute(f"UPDATE catalog_sources SET refreshed_at = {now} WHERE id = 'a'", seconds=-299)
        assert store.due_sources(session) == []
        session.execute(f"UPDATE catalog_sources SET refreshed_at = {now} WHERE id = 'a'", seconds=-301)
        assert store.due_sources(session) == ["a"]


def test_a_source_in_error_is_due_sooner(two: Database) -> None:
    with two.session() as session:
        store.record(session, "a", Outcome(store.ERROR, "gone", "revision", Validators()))
        now = session.dialect.after("seconds")
        session.execute(f"UPDATE catalog_sources SET refreshed_at = {now} WHERE id IN ('a', 'b')", seconds=-31)
        assert store.due_sources(session) == ["a"]


def test_a_changed_source_is_due_at_once_and_keeps_serving(two: Database) -> None:
    assert reconcile(two, sources_file({"id": "a", "excludedModels": ["x"]}, {"id": "b"})) == ["a"]
    assert due(two) == ["a"]
    assert served(two) == ["group/one", "group/two"]


def test_a_disabled_source_stays_listed_and_is_served_nowhere(two: Database) -> None:
    reconcile(two, sources_file({"id": "a", "labels": ["A"], "enabled": False}, {"id": "b"}))
    assert listed(two)["a"].status == "disabled"
    assert served(two) == ["group/two"]
    assert served(two, sources=["a"]) == []
    assert row(two, "a", "group/one") is None
    assert due(two) == []
    with two.session() as session:
        assert store.counts(session) == {"sources": 2, "models": 1}
        assert store.source_state(session, "a") is None


def test_the_last_good_models_of_a_source_in_error_stay_served(two: Database) -> None:
    with two.session() as session:
        store.record(session, "a", Outcome(store.ERROR, "unreadable", "revision", Validators()))
    assert listed(two)["a"].status == "error"
    assert served(two) == ["group/one", "group/two"]


def test_a_removed_source_is_gone_at_once_and_purged_later(two: Database) -> None:
    reconcile(two, sources_file({"id": "b"}))
    assert list(listed(two)) == ["b"]
    assert served(two) == ["group/two"]
    with two.session() as session, session.transaction():
        assert store.purge_removed(session) == 1
        assert session.scalar("SELECT count(*) AS n FROM catalog_sources") == 1
        assert session.scalar("SELECT count(*) AS n FROM catalog_models") == 1


def test_a_source_that_comes_back_before_the_purge_has_its_models_with_their_ids(two: Database) -> None:
    before = row(two, "a", "group/one").id
    reconcile(two, sources_file({"id": "b"}))
    assert reconcile(two, sources_file({"id": "a", "labels": ["A"]}, {"id": "b"})) == ["a"]
    assert row(two, "a", "group/one").id == before
    with two.session() as session, session.transaction():
        assert store.purge_removed(session) == 0


def test_purging_goes_in_batches(two: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    load(two, "a", *[f"model-{number}" for number in range(5)])
    reconcile(two, sources_file({"id": "b"}))
    monkeypatch.setattr(store, "PURGE_BATCH_ROWS", 2)
    with two.session() as session:
        assert [store.purge_removed(session) for _ in range(4)] == [2, 2, 1, 0]
        assert session.scalar("SELECT count(*) AS n FROM catalog_sources") == 1


def test_models_that_stay_keep_id_and_times_and_the_same_content_writes_nothing(two: Database) -> None:
    before = row(two, "a", "group/one")
    assert load(two, "a", "group/one") == 0
    assert load(two, "a", "group/one", "group/three") == 1
    assert row(two, "a", "group/one") == before


def test_a_changed_model_keeps_id_and_creation_and_a_gone_one_is_deleted(two: Database) -> None:
    with two.session() as session:
        session.execute("UPDATE catalog_models SET created_ms = 5, updated_ms = 5 WHERE name = 'group/one'")
    before = row(two, "a", "group/one")
    assert load(two, "a", {"name": "group/one", "description": "new"}) == 1
    after = row(two, "a", "group/one")
    assert (after.id, after.created_ms) == (before.id, 5)
    assert after.updated_ms > 5
    assert load(two, "a", "group/three") == 2
    assert row(two, "a", "group/one") is None


def test_times_that_the_catalog_states_are_served(two: Database) -> None:
    stated = {"name": "group/one", "createTimeSinceEpoch": "11", "lastUpdateTimeSinceEpoch": "12"}
    assert load(two, "a", stated) == 1
    assert (row(two, "a", "group/one").created_ms, row(two, "a", "group/one").updated_ms) == (11, 12)
    assert load(two, "a", stated) == 0


def artifacts_of(database: Database, name: str) -> list[tuple[int, str]]:
    with database.session() as session:
        rows = queries.artifacts(session, Listing("ID", False, 100), model_id=row(database, "a", name).id)
    return [(each.id, json.loads(each.document)["uri"]) for each in rows]


def test_artifacts_keep_their_ids_while_they_stay_the_same_and_follow_the_file_otherwise(two: Database) -> None:
    load(two, "a", {"name": "m", "artifacts": [{"uri": "x"}, {"uri": "y"}]})
    before = artifacts_of(two, "m")
    load(two, "a", {"name": "m", "artifacts": [{"uri": "x"}, {"uri": "y"}]}, "other")
    assert artifacts_of(two, "m") == before
    updated = row(two, "a", "m").updated_ms
    with two.session() as session:
        session.execute("UPDATE catalog_models SET updated_ms = 5 WHERE name = 'm'")
    load(two, "a", {"name": "m", "artifacts": [{"uri": "z"}, {"uri": "x"}]})
    assert [uri for _, uri in artifacts_of(two, "m")] == ["z", "x"]
    assert row(two, "a", "m").updated_ms >= updated, "a model is as new as its artifacts"


def test_many_models_are_stored_in_one_go(two: Database) -> None:
    models = [{"name": f"m-{number}", "artifacts": [{"uri": "x"}]} for number in range(1500)]
    assert load(two, "a", *models) == 1501
    assert load(two, "a", *models) == 0


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["100% Pure", "under_score", "Δοκιμή", "plain"]),
        ({"text": "100%"}, ["100% Pure"]),
        ({"text": "%"}, ["100% Pure"]),
        ({"text": "_"}, ["under_score"]),
        ({"text": "\\"}, []),
        ({"text": "PURE"}, ["100% Pure"]),
        ({"text": "δοκιμή"}, ["Δοκιμή"]),
        ({"text": "ΔΟΚΙΜΉ"}, ["Δοκιμή"]),
        ({"text": "acme"}, ["under_score"]),
        ({"text": "chat"}, ["plain"]),
        ({"text": "'; --"}, []),
        ({"sources": ["b"]}, ["Δοκιμή", "plain"]),
        ({"sources": ["a", "b"], "text": "plain"}, ["plain"]),
        ({"sources": ["none"]}, []),
        ({"labels": ["A"]}, ["100% Pure", "under_score"]),
        ({"labels": ["A", "null"]}, ["100% Pure", "under_score", "Δοκιμή", "plain"]),
        ({"labels": ["null"]}, ["Δοκιμή", "plain"]),
        ({"labels": ["a"]}, []),
        ({"labels": ["A"], "sources": ["b"]}, []),
    ],
)
def test_filters(two: Database, filters: dict[str, Any], found: list[str]) -> None:
    load(two, "a", "100% Pure", {"name": "under_score", "provider": "ACME"})
    load(two, "b", "Δοκιμή", {"name": "plain", "tasks": ["chat"]})
    assert served(two, **filters) == found


def test_sources_are_found_by_a_part_of_their_name(two: Database) -> None:
    reconcile(two, sources_file({"id": "a", "name": "First 50%"}, {"id": "b", "name": "second"}))
    with two.session() as session:

        def names(text: str, asset_type: str = "models") -> list[str]:
            listing = Listing("NAME", True, 10)
            return [each.name for each in queries.sources(session, listing, asset_type=asset_type, name=text)]

        assert names("") == ["second", "First 50%"]
        assert names("FIRST") == ["First 50%"]
        assert names("%") == ["First 50%"]
        assert names("", "mcp_servers") == []


def test_labels_are_replaced_with_the_file(any_database: Database) -> None:
    reconcile(any_database, sources_file(labels=[{"name": "A"}, {"name": None, "x": 1}]))
    reconcile(any_database, sources_file(labels=[{"name": "B", "assetType": "mcp_servers"}, {"name": None, "x": 2}]))
    with any_database.session() as session:
        rows = queries.labels(session, Listing("ID", False, 10), asset_type="models")
        assert [json.loads(each.document) for each in rows] == [{"name": None, "x": 2}]


MODEL = st.fixed_dictionaries(
    {"name": st.text("aAbB_%é", min_size=1, max_size=4)},
    optional={
        "createTimeSinceEpoch": st.integers(1, 3).map(str),
        "lastUpdateTimeSinceEpoch": st.integers(1, 3).map(str),
        "customProperties": st.sampled_from([-1.5, 0, 0.1, 0.1 + 0.2, 1e300]).map(
            lambda value: {"accuracy": {"metadataType": "MetadataDoubleValue", "double_value": value}}
        ),
    },
)
KEYS = {
    "ID": lambda each: each["id"],
    "NAME": lambda each: each["name"],
    "CREATE_TIME": lambda each: each["created_ms"],
    "LAST_UPDATE_TIME": lambda each: each["updated_ms"],
    "ACCURACY": lambda each: each["accuracy"],
}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(models=st.lists(MODEL, max_size=12, unique_by=lambda model: model["name"]), size=st.integers(1, 5))
def test_pages_never_overlap_and_cover_everything_in_every_order(
    two: Database, models: list[dict[str, Any]], size: int
) -> None:
    load(two, "b")
    load(two, "a", *models)
    with two.session() as session:
        stored = [each._asdict() for each in session.rows("SELECT * FROM catalog_models")]
        for order_by, key in KEYS.items():
            for descending in (False, True):
                walked, position = [], None
                while True:
                    listing = Listing(order_by, descending, size, position)
                    page = queries.models(session, listing, sources=[], labels=[], text="")
                    walked += [each.id for each in page]
                    if len(page) < size:
                        break
                    position = (page[-1].sort_key, page[-1].id)
                with_key = [each for each in stored if key(each) is not None]
                without_key = [each for each in stored if key(each) is None]
                in_order = sorted(with_key, key=lambda each: (key(each), each["id"]), reverse=descending)
                in_order += sorted(without_key, key=lambda each: each["id"], reverse=descending)
                assert walked == [each["id"] for each in in_order], (order_by, descending)

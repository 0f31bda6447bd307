"""The catalog API as a user's client meets it."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog_server.catalog import store
from catalog_server.catalog.catalog_file import parse_catalog
from catalog_server.catalog.reader import Validators
from catalog_server.catalog.sources_file import parse_sources
from catalog_server.catalog.store import Outcome
from catalog_server.db import Database
from integration.api import BASE, ApiServer

SOURCES = b"""
catalogs:
  - {id: house, name: House models, properties: {yamlCatalogPath: h.yaml}, labels: [House], includedModels: ["*"]}
  - {id: open, name: Open models, properties: {yamlCatalogPath: o.yaml}}
  - {id: closed, name: Closed, enabled: false, properties: {yamlCatalogPath: x.yaml}, labels: [House]}
labels:
  - {name: House, displayName: House models, assetType: models}
  - {name: null, displayName: Others}
  - {name: Tools, assetType: mcp_servers}
"""
HOUSE = "models:\n" + "".join(
    f"""  - name: group/model-{number:02d}
    description: Model {number}
    tasks: [chat]
    customProperties: {{accuracy: {{metadataType: MetadataDoubleValue, double_value: {number % 5}.5}}}}
    artifacts:
      - uri: oci://example/{number}
      - artifactType: metrics-artifact
        metricsType: performance-metrics
        customProperties: {{rps: {{metadataType: MetadataIntValue, int_value: "{number}"}}}}
"""
    for number in range(23)
)
OPEN = """models:
  - name: plain
    description: '"Quoted" & 100% <b>ünïcode</b>'
  - {name: a/b/artifacts}
"""


def fill(database: Database) -> None:
    """Two sources with 25 models, and a disabled one."""
    file = parse_sources(SOURCES, path=Path("/data/sources.yaml"), default_refresh_interval_seconds=300)
    with database.session() as session, session.transaction():
        store.reconcile(session, file)
        for source_id, text in (("house", HOUSE), ("open", OPEN)):
            catalog = parse_catalog(text.encode(), is_wanted=lambda name: True, where=source_id)
            assert not catalog.problems
            store.replace_models(session, source_id, catalog.models)
            store.record(session, source_id, Outcome(store.AVAILABLE, None, "r", Validators()))


@pytest.fixture
def api(any_database: Database, any_dsn: str) -> Iterator[ApiServer]:
    fill(any_database)
    server = ApiServer(any_database, any_dsn)
    yield server
    server.stop()


def names(page: dict[str, Any]) -> list[str]:
    return [item["name"] for item in page["items"]]


def test_a_client_walks_all_pages_and_meets_every_model_once(api: ApiServer) -> None:
    pages = list(api.walk(f"{BASE}/models", pageSize=7, orderBy="NAME", sortOrder="DESC"))
    assert [page["size"] for page in pages] == [7, 7, 7, 4]
    assert {page["pageSize"] for page in pages} == {7}
    found = [name for page in pages for name in names(page)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 25


def test_the_default_page_has_ten_items_and_says_that_there_are_more(api: ApiServer) -> None:
    _, page = api.get(f"{BASE}/models")
    assert (page["pageSize"], page["size"], len(page["items"])) == (10, 10, 10)
    assert page["nextPageToken"]


def test_a_page_that_is_exactly_full_is_the_last(api: ApiServer) -> None:
    _, page = api.get(f"{BASE}/models", pageSize=25)
    assert (page["size"], page["nextPageToken"]) == (25, "")


def test_a_model_is_found_in_the_list_and_by_its_name(api: ApiServer) -> None:
    _, page = api.get(f"{BASE}/models", q="MODEL 7")
    (listed,) = page["items"]
    status, model = api.get(f"{BASE}/sources/house/models/group/model-07")
    assert (status, model) == (200, listed)
    assert model["id"].isdigit()
    assert isinstance(model["createTimeSinceEpoch"], str)
    assert model["source_id"] == "house"
    assert int(model["createTimeSinceEpoch"]) <= int(model["lastUpdateTimeSinceEpoch"])
    assert model["customProperties"]["accuracy"] == {"metadataType": "MetadataDoubleValue", "double_value": 2.5}


def test_names_may_be_percent_encoded_and_may_end_like_a_path_of_the_api(api: ApiServer) -> None:
    _, plain = api.get(f"{BASE}/sources/house/models/group/model-07")
    assert api.get(f"{BASE}/sources/house/models/group%2Fmodel-07") == (200, plain)
    assert api.get(f"{BASE}/sources/open/models/a%2Fb%2Fartifacts")[1]["name"] == "a/b/artifacts"
    assert api.get(f"{BASE}/sources/open/models/a%2Fb%2Fartifacts/artifacts")[1]["items"] == []


def test_text_arrives_as_it_was_written(api: ApiServer) -> None:
    assert api.get(f"{BASE}/sources/open/models/plain")[1]["description"] == '"Quoted" & 100% <b>ünïcode</b>'


def test_artifacts_of_a_model(api: ApiServer) -> None:
    pages = list(api.walk(f"{BASE}/sources/house/models/group/model-07/artifacts", pageSize=1))
    first, second = (page["items"][0] for page in pages)
    assert (first["artifactType"], first["uri"]) == ("model-artifact", "oci://example/7")
    assert (second["artifactType"], second["metricsType"]) == ("metrics-artifact", "performance-metrics")
    assert second["customProperties"] == {"rps": {"metadataType": "MetadataIntValue", "int_value": "7"}}


def test_sources_are_listed_with_their_state(api: ApiServer) -> None:
    _, page = api.get(f"{BASE}/sources")
    assert {source["id"]: source["status"] for source in page["items"]} == {
        "house": "available",
        "closed": "disabled",
        "open": "available",
    }
    assert page["items"][1] == {
        "id": "house",
        "name": "House models",
        "enabled": True,
        "labels": ["House"],
        "status": "available",
        "error": None,
        "includedModels": ["*"],
        "excludedModels": [],
        "assetType": "models",
    }
    _, reverse = api.get(f"{BASE}/sources", orderBy="name", sortOrder="desc", name="MODELS")
    assert [source["id"] for source in reverse["items"]] == ["open", "house"]


def test_labels_are_exactly_those_of_the_file(api: ApiServer) -> None:
    others, house = {"name": None, "displayName": "Others"}, {"name": "House", "displayName": "House models"}
    assert api.get(f"{BASE}/labels")[1]["items"] == [house, others]
    assert api.get(f"{BASE}/labels", assetType="mcp_servers")[1]["items"] == [{"name": "Tools"}]
    walked = [page["items"] for page in api.walk(f"{BASE}/labels", pageSize=1, sortOrder="DESC")]
    assert walked == [[others], [house]]


def test_filters_are_combined_and_repeatable(api: ApiServer) -> None:
    assert api.get(f"{BASE}/models", source=["open", "closed"])[1]["size"] == 2
    assert api.get(f"{BASE}/models", sourceLabel=["House"], pageSize=100)[1]["size"] == 23
    assert api.get(f"{BASE}/models", sourceLabel=["null", "House"], pageSize=100)[1]["size"] == 25
    assert api.get(f"{BASE}/models", sourceLabel="House", source="open")[1]["items"] == []


@pytest.mark.parametrize(
    ("path", "parameters", "said"),
    [
        ("/models", {"pageSize": "many"}, ["invalid value 'many'", "pageSize", "1 to 1000"]),
        ("/models", {"orderBy": "SIZE"}, ["invalid value 'SIZE'", "orderBy", "LAST_UPDATE_TIME"]),
        ("/models", {"sortOrder": "UP"}, ["invalid value 'UP'", "sortOrder", "ASC, DESC"]),
        ("/models", {"nextPageToken": "zzz"}, ["invalid value 'zzz'", "nextPageToken"]),
        ("/models", {"q": "a\0b"}, ["invalid value", "q", "NUL"]),
        ("/models", {"source": "a\0b"}, ["invalid value", "source"]),
        ("/models", {"filterQuery": "name='x'"}, ["filterQuery", "not supported"]),
        ("/sources", {"orderBy": "CREATE_TIME"}, ["invalid value", "orderBy", "ID, NAME"]),
        ("/sources", {"assetType": "toys"}, ["invalid value 'toys'", "assetType", "models, mcp_servers"]),
        ("/labels", {"assetType": "toys"}, ["invalid value 'toys'", "assetType"]),
        ("/sources/house/models/group/model-07/artifacts", {"orderBy": "NAME"}, ["invalid value", "orderBy"]),
    ],
)
def test_a_bad_parameter_is_refused_with_what_is_allowed(
    api: ApiServer, path: str, parameters: dict[str, str], said: list[str]
) -> None:
    status, body = api.get(BASE + path, **parameters)
    assert status == 400
    assert body["code"] == "400"
    for part in said:
        assert part in body["message"]


def test_a_token_from_another_list_is_refused(api: ApiServer) -> None:
    token = api.get(f"{BASE}/models", pageSize=1)[1]["nextPageToken"]
    for path, parameters in ((f"{BASE}/sources", {}), (f"{BASE}/models", {"q": "model"}), (f"{BASE}/labels", {})):
        status, body = api.get(path, nextPageToken=token, **parameters)
        assert status == 400, path
        assert "nextPageToken" in body["message"]


@pytest.mark.parametrize(
    "path",
    [
        f"{BASE}/sources/house/models/none",
        f"{BASE}/sources/none/models/group/model-07",
        f"{BASE}/sources/none/models/group/model-07/artifacts",
        f"{BASE}/sources/house/models/a%00b",
        f"{BASE}/sources/house/models/%FF%FE",
        f"{BASE}/nothing",
        "/",
    ],
)
def test_what_is_not_there_is_404_in_the_shape_of_every_error(api: ApiServer, path: str) -> None:
    status, body = api.get(path)
    assert (status, body["code"]) == (404, "404")
    assert body["message"]


def test_a_wrong_method_is_told_which_are_right(api: ApiServer) -> None:
    request = urllib.request.Request(f"{api.url}{BASE}/models", method="DELETE")
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)
    assert refusal.value.code == 405
    assert "GET" in refusal.value.headers["Allow"]


def test_a_database_that_is_gone_is_503_and_says_nothing_of_its_insides(tmp_path: Path) -> None:
    dsn = "postgresql://user:hunter2@127.0.0.1:1/none"
    database = Database(dsn, purpose="test", size=1, deadline_seconds=5, connect_timeout_seconds=1)
    server = ApiServer(database, dsn)
    try:
        status, body = server.get(f"{BASE}/models")
        assert (status, body["code"]) == (503, "503")
        assert "hunter2" not in body["message"]
        assert "127.0.0.1" not in body["message"]
    finally:
        server.stop()
        database.close()


def test_without_a_valid_configuration_the_answer_is_503_and_points_to_readyz() -> None:
    server = ApiServer(None, "")
    try:
        status, body = server.get(f"{BASE}/models")
        assert status == 503
        assert "/readyz" in body["message"]
    finally:
        server.stop()

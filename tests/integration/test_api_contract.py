"""The API against its own OpenAPI document."""

import re
import urllib.request
from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from openapi_spec_validator import validate
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from catalog_server.db import Database
from catalog_server.http.documentation import load_document
from catalog_server.http.routes import make_application
from integration.api import ApiServer
from integration.test_api_client import fill

EXAMPLES = 25  # of each operation
schema = schemathesis.openapi.from_dict(load_document())


@pytest.fixture
def api(database: Database, dsn: str) -> Iterator[ApiServer]:
    fill(database)
    server = ApiServer(database, dsn)
    yield server
    server.stop()


def test_the_document_is_valid_openapi() -> None:
    document = load_document()
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_every_operation_is_documented_and_every_documented_one_is_served(api: ApiServer) -> None:
    status, document = api.get("/openapi.json")
    assert status == 200
    assert document == load_document()
    documented = {(method, path) for path, item in document["paths"].items() for method in item}
    served = {
        (route.method.lower(), re.sub(r":[^}]+}", "}", route.resource.canonical))
        for route in make_application().router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert served - documented == {("get", "/openapi.json"), ("get", "/docs")}
    assert documented <= served


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much, HealthCheck.too_slow],
)
def test_answers_are_those_of_the_document(case: schemathesis.Case, api: ApiServer) -> None:
    case.call_and_validate(
        base_url=api.url,
        checks=(
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
        ),
    )


def test_the_docs_page_works_without_the_internet(api: ApiServer) -> None:
    with urllib.request.urlopen(f"{api.url}/docs", timeout=10) as answer:
        page = answer.read().decode()
        assert answer.headers["Content-Type"].startswith("text/html")
    assert "openapi.json" in page
    assert "http://" not in page
    assert "https://" not in page

"""The catalog API, /api/model_catalog/v1alpha1: parameters in, stored documents out.

Documents come from the database as JSON text and go out as they are; only id and times are put before them.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from aiohttp import web

from catalog_server.catalog import queries
from catalog_server.catalog.queries import Listing, Row
from catalog_server.db import Session
from catalog_server.db.models import is_storable
from catalog_server.http.consistency import requested_token
from catalog_server.http.context import services
from catalog_server.http.errors import BadRequest, NotFound
from catalog_server.http.paging import Page, one_of, repeated, requested_page, single

T = TypeVar("T")

BASE_PATH = "/api/model_catalog/v1alpha1"

ASSET_TYPES = ("models", "mcp_servers")
SORT_ORDERS = ("ASC", "DESC")
SOURCE_ORDERS = ("ID", "NAME")
MODEL_ORDERS = ("ID", "CREATE_TIME", "LAST_UPDATE_TIME", "NAME", "ACCURACY")
ARTIFACT_ORDERS = ("ID", "CREATE_TIME", "LAST_UPDATE_TIME")

_KEY_TYPES: dict[str, type] = {"NAME": str, "ACCURACY": float}  # of sort keys that are not integers


def routes() -> list[web.RouteDef]:
    """Names of models may contain slashes, so the more particular path comes first."""
    model = f"{BASE_PATH}/sources/{{source_id}}/models/{{model_name:.+}}"
    return [
        web.get(f"{BASE_PATH}/sources", list_sources),
        web.get(f"{BASE_PATH}/models", list_models),
        web.get(f"{BASE_PATH}/labels", list_labels),
        web.get(f"{model}/artifacts", list_artifacts),
        web.get(model, show_model),
    ]


async def list_sources(request: web.Request) -> web.Response:
    asset_type = one_of(request, "assetType", ASSET_TYPES) or "models"
    name = single(request, "name")
    page, listing = _listing(request, SOURCE_ORDERS, (asset_type, name), id_type=str)
    rows = await _read(request, lambda session: queries.sources(session, listing, asset_type=asset_type, name=name))
    return _list_response(rows, page, _source_json)


async def list_models(request: web.Request) -> web.Response:
    _refuse_filter_query(request)
    sources, labels = repeated(request, "source"), repeated(request, "sourceLabel")
    text = single(request, "q")
    page, listing = _listing(request, MODEL_ORDERS, (sorted(sources), sorted(labels), text))
    rows = await _read(
        request,
        lambda session: queries.models(session, listing, sources=sources, labels=labels, text=text),
    )
    return _list_response(rows, page, _model_json)


async def show_model(request: web.Request) -> web.Response:
    source_id, name = _path_names(request)
    row = await _read(request, lambda session: queries.model(session, source_id, name))
    if row is None:
        raise _no_such_model(source_id, name)
    return _json_response(_model_json(row))


async def list_artifacts(request: web.Request) -> web.Response:
    _refuse_filter_query(request)
    source_id, name = _path_names(request)
    page, listing = _listing(request, ARTIFACT_ORDERS, ())

    def read(session: Session) -> list[Row] | None:
        model = queries.model(session, source_id, name)
        return None if model is None else queries.artifacts(session, listing, model_id=model.id)

    rows = await _read(request, read)
    if rows is None:
        raise _no_such_model(source_id, name)
    return _list_response(rows, page, _artifact_json)


async def list_labels(request: web.Request) -> web.Response:
    asset_type = one_of(request, "assetType", ASSET_TYPES) or "models"
    page, listing = _listing(request, ("ID",), (asset_type,))
    rows = await _read(request, lambda session: queries.labels(session, listing, asset_type=asset_type))
    return _list_response(rows, page, lambda row: row.document)


async def _read(request: web.Request, work: Callable[[Session], T]) -> T:
    return await services(request).reads.run(work, requested_token(request))


def _listing(
    request: web.Request, orders: Sequence[str], filters: Sequence[Any], *, id_type: type = int
) -> tuple[Page, Listing]:
    """The page that is asked for, and what to select for it: one row more tells whether there is another."""
    order_by = one_of(request, "orderBy", orders) or "ID"
    sort_order = one_of(request, "sortOrder", SORT_ORDERS) or "ASC"
    key_type = id_type if order_by == "ID" else _KEY_TYPES.get(order_by, int)
    page = requested_page(request, order_by, sort_order, *filters, key_types=(key_type, id_type))
    return page, Listing(order_by, sort_order == "DESC", page.size + 1, page.position)


def _path_names(request: web.Request) -> tuple[str, str]:
    source_id, name = request.match_info["source_id"], request.match_info["model_name"]
    if not is_storable(source_id) or not is_storable(name):
        raise _no_such_model(source_id, name)
    return source_id, name


def _no_such_model(source_id: str, name: str) -> NotFound:
    return NotFound(f"source {source_id!a} has no model {name!a}, or is not served")


def _refuse_filter_query(request: web.Request) -> None:
    if request.query.get("filterQuery"):
        raise BadRequest("filterQuery is not supported by this server; use source, sourceLabel and q")


def _list_response(rows: Sequence[Row], page: Page, to_json: Callable[[Row], str]) -> web.Response:
    shown = rows[: page.size]
    token = ""
    if len(rows) > page.size:
        token = page.token_after((shown[-1].sort_key, shown[-1].id))
    items = ",".join(map(to_json, shown))
    return _json_response(f'{{"items":[{items}],"nextPageToken":"{token}","pageSize":{page.size},"size":{len(shown)}}}')


def _json_response(text: str) -> web.Response:
    return web.Response(body=text.encode(), content_type="application/json", charset="utf-8")


def _source_json(row: Row) -> str:
    return json.dumps(
        {
            "id": row.id,
            "name": row.name,
            "enabled": row.enabled,
            "labels": row.labels,
            "status": row.status,
            "error": row.error,
            "includedModels": row.included_models,
            "excludedModels": row.excluded_models,
            "assetType": row.asset_type,
        }
    )


def _model_json(row: Row) -> str:
    return f'{{"id":"{row.id}","source_id":{json.dumps(row.source_id)},{_times(row)},{row.document[1:]}'


def _artifact_json(row: Row) -> str:
    return f'{{"id":"{row.id}",{_times(row)},{row.document[1:]}'


def _times(row: Row) -> str:
    """Milliseconds as text. What follows is the rest of a document, which is never empty."""
    return f'"createTimeSinceEpoch":"{row.created_ms}","lastUpdateTimeSinceEpoch":"{row.updated_ms}"'

"""/openapi.json and /docs: what this server offers, from the one document beside this file."""

import json
from functools import lru_cache
from importlib.resources import files
from typing import Any

import yaml
from aiohttp import web

from catalog_server import __version__


def routes() -> list[web.RouteDef]:
    return [web.get("/openapi.json", document), web.get("/docs", page)]


async def document(request: web.Request) -> web.Response:
    return web.Response(text=_document_json(), content_type="application/json")


async def page(request: web.Request) -> web.Response:
    return web.Response(text=_read("docs.html"), content_type="text/html")


def load_document() -> dict[str, Any]:
    """The OpenAPI document of this version."""
    loaded: dict[str, Any] = yaml.safe_load(_read("openapi.yaml"))
    loaded["info"]["version"] = __version__
    return loaded


@lru_cache(maxsize=1)
def _document_json() -> str:
    return json.dumps(load_document())


@lru_cache(maxsize=2)
def _read(name: str) -> str:
    return files("catalog_server.http").joinpath(name).read_text(encoding="utf-8")

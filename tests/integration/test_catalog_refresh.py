"""The refresh job on real files and against a real HTTP server."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from catalog_server.catalog import queries, store
from catalog_server.catalog.queries import Listing
from catalog_server.catalog.refresh import RefreshHandler
from catalog_server.catalog.sources_file import parse_sources
from catalog_server.db import Database

MAX_BYTES = 4096
TWO_MODELS = "models:\n  - {name: one}\n  - {name: two}\n"


@dataclass(frozen=True)
class RefreshJob:
    """What the handler looks at in a job."""

    payload: dict[str, Any]
    id: int = 1
    kind: str = "refresh"
    attempt: int = 1


class Catalog:
    """One source in a database, refreshed as a worker does: run, then commit the effect."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.folder = folder
        self.handler = RefreshHandler(database=database, timeout_seconds=5, max_bytes=MAX_BYTES)

    async def configure(self, properties: dict[str, Any], type: str = "yaml", **fields: Any) -> None:
        entry = {"id": "s", "name": "S", "type": type, "properties": properties} | fields
        content = repr({"catalogs": [entry]}).replace("True", "true").replace("False", "false").encode()
        file = parse_sources(content, path=self.folder / "sources.yaml", default_refresh_interval_seconds=300)
        await self.database.transaction(lambda session: store.reconcile(session, file))

    async def refresh(self, before_commit: Callable[[], Any] | None = None) -> None:
        effect = await self.handler.run(RefreshJob({"source_id": "s"}))  # type: ignore[arg-type]
        if before_commit is not None:
            await before_commit()
        if effect is not None:
            await self.database.transaction(effect)

    async def state(self) -> store.Outcome:
        state = await self.database.run(lambda session: store.source_state(session, "s"))
        assert state is not None
        return state.last

    async def models(self) -> list[Any]:
        listing = Listing("ID", False, 100)
        return await self.database.run(lambda session: queries.models(session, listing, sources=[], labels=[], text=""))

    async def names(self) -> list[str]:
        def read(session: Any) -> list[str]:
            return [row.name for row in session.rows("SELECT name FROM catalog_models ORDER BY name")]

        return await self.database.run(read)


@pytest_asyncio.fixture
async def catalog(any_database: Database, tmp_path: Path) -> Catalog:
    """A source of type yaml with two models, not refreshed yet."""
    catalog = Catalog(any_database, tmp_path)
    (tmp_path / "c.yaml").write_text(TWO_MODELS)
    await catalog.configure({"yamlCatalogPath": "c.yaml"})
    return catalog


async def test_a_refresh_serves_what_the_file_says(catalog: Catalog) -> None:
    await catalog.refresh()
    assert await catalog.names() == ["one", "two"]
    assert (await catalog.state()).status == "available"
    assert (await catalog.state()).error is None


async def test_the_same_content_writes_no_model(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    await catalog.refresh()
    before = await catalog.models()
    # A write that were tried would fail.
    monkeypatch.setattr(store, "replace_models", None)
    os.utime(catalog.folder / "c.yaml", (1, 1))
    await catalog.refresh()
    assert await catalog.models() == before
    assert (await catalog.state()).status == "available"


async def test_a_changed_filter_is_a_change_although_the_content_is_the_same(catalog: Catalog) -> None:
    await catalog.refresh()
    before = await catalog.state()
    await catalog.configure({"yamlCatalogPath": "c.yaml"}, excludedModels=["TWO"])
    await catalog.refresh()
    assert await catalog.names() == ["one"]
    assert (await catalog.state()).revision != before.revision


async def test_a_broken_model_makes_the_source_partially_available_and_is_named(catalog: Catalog) -> None:
    (catalog.folder / "c.yaml").write_text("models: [{name: one}, {name: bad, tasks: 1}]")
    await catalog.refresh()
    assert await catalog.names() == ["one"]
    state = await catalog.state()
    assert state.status == "partially-available"
    assert "models[1] (bad): tasks = 1" in str(state.error)
    await catalog.refresh()
    assert await catalog.state() == state, "the same content has the same problem"
    (catalog.folder / "c.yaml").write_text(TWO_MODELS)
    await catalog.refresh()
    assert ((await catalog.state()).status, (await catalog.state()).error) == ("available", None)


def remove(path: Path) -> None:
    path.unlink()


def make_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (remove, "does not exist"),
        (make_fifo, "is not a file"),
        (make_folder, "is not a file"),
        (lambda path: path.write_text("models: ["), "not YAML"),
        (lambda path: path.write_text("nothing: here"), "no list `models`"),
        (lambda path: path.write_bytes(b"#" * (MAX_BYTES + 1)), "source_max_bytes"),
    ],
    ids=["removed", "fifo", "folder", "not YAML", "no catalog", "too large"],
)
async def test_an_unreadable_file_keeps_the_last_good_models_and_recovers(
    catalog: Catalog, spoil: Callable[[Path], Any], said: str
) -> None:
    await catalog.refresh()
    before = await catalog.models()
    path = catalog.folder / "c.yaml"
    spoil(path)
    await catalog.refresh()
    assert await catalog.models() == before
    state = await catalog.state()
    assert state.status == "error"
    assert said in str(state.error)
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    path.write_text(TWO_MODELS)
    await catalog.refresh()
    assert (await catalog.state()).status == "available"
    assert await catalog.models() == before


async def test_an_unknown_type_is_an_error_of_that_source(catalog: Catalog) -> None:
    await catalog.configure({}, type="hf")
    await catalog.refresh()
    assert "type 'hf'" in str((await catalog.state()).error)


async def test_a_disabled_or_removed_source_is_not_read(catalog: Catalog) -> None:
    await catalog.configure({"yamlCatalogPath": "c.yaml"}, enabled=False)
    await catalog.refresh()
    assert await catalog.names() == []
    assert await catalog.handler.run(RefreshJob({"source_id": "none"})) is None  # type: ignore[arg-type]


async def test_a_reading_under_an_older_configuration_is_dropped_and_the_source_stays_due(catalog: Catalog) -> None:
    async def change_it_meanwhile() -> None:
        await catalog.configure({"yamlCatalogPath": "c.yaml"}, excludedModels=["two"])

    await catalog.refresh(before_commit=change_it_meanwhile)
    assert await catalog.names() == []
    assert await catalog.database.run(store.due_sources) == ["s"]
    await catalog.refresh()
    assert await catalog.names() == ["one"]


async def test_a_source_that_was_removed_meanwhile_gets_no_models(catalog: Catalog) -> None:
    file = parse_sources(b"catalogs: []", path=catalog.folder / "s.yaml", default_refresh_interval_seconds=300)

    async def remove_it_meanwhile() -> None:
        await catalog.database.transaction(lambda session: store.reconcile(session, file))

    await catalog.refresh(before_commit=remove_it_meanwhile)
    assert await catalog.names() == []


@dataclass
class Origin:
    """An HTTP server with a catalog: what it answers, and what it was asked."""

    url: str = ""
    body: bytes = TWO_MODELS.encode()
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"v1"'})
    asked: list[web.BaseRequest] = field(default_factory=list)
    released: asyncio.Event = field(default_factory=asyncio.Event)
    endless: bool = False
    sent_bytes: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        if self.endless:
            return await self._stream(request)
        etag, since = request.headers.get("If-None-Match"), request.headers.get("If-Modified-Since")
        if (etag and etag == self.headers.get("ETag")) or (since and since == self.headers.get("Last-Modified")):
            return web.Response(status=304, headers=self.headers)
        return web.Response(body=self.body, status=self.status, headers=self.headers)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not self.released.is_set():
            await response.write(b"#" * 1024)
            self.sent_bytes += 1024
        return response

    async def hang(self, request: web.Request) -> web.StreamResponse:
        await self.released.wait()
        return web.Response()


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    origin = Origin()
    application = web.Application()
    application.router.add_get("/c.yaml", origin.answer)
    application.router.add_get("/hang", origin.hang)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    origin.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield origin
    origin.released.set()
    await runner.cleanup()


@pytest_asyncio.fixture
async def remote(catalog: Catalog, origin: Origin) -> Catalog:
    """The source is of type http, and was refreshed once."""
    await catalog.configure({"url": f"{origin.url}/c.yaml"}, type="http")
    await catalog.refresh()
    assert await catalog.names() == ["one", "two"]
    return catalog


@pytest.mark.parametrize("validator", [{"ETag": '"v1"'}, {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}])
async def test_what_has_not_changed_is_not_sent_again(
    catalog: Catalog, origin: Origin, validator: dict[str, str]
) -> None:
    origin.headers = validator
    await catalog.configure({"url": f"{origin.url}/c.yaml"}, type="http")
    await catalog.refresh()
    before = await catalog.models()
    origin.body = b"never sent"
    await catalog.refresh()
    condition = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
    for name, value in validator.items():
        assert origin.asked[-1].headers[condition[name]] == value
    assert await catalog.models() == before
    assert (await catalog.state()).status == "available"


async def test_new_content_comes_with_a_new_etag(remote: Catalog, origin: Origin) -> None:
    origin.body, origin.headers = b"models: [{name: three}]", {"ETag": '"v2"'}
    await remote.refresh()
    assert await remote.names() == ["three"]
    assert (await remote.state()).validators.etag == '"v2"'


async def test_a_refusal_keeps_the_models_and_the_next_request_asks_for_everything(
    remote: Catalog, origin: Origin
) -> None:
    origin.status, origin.headers = 503, {"ETag": '"other"'}
    await remote.refresh()
    assert await remote.names() == ["one", "two"]
    assert "answered 503" in str((await remote.state()).error)
    origin.status, origin.headers = 200, {"ETag": '"v1"'}
    await remote.refresh()
    assert "If-None-Match" not in origin.asked[-1].headers
    assert (await remote.state()).status == "available"


async def test_a_new_filter_asks_for_everything(remote: Catalog, origin: Origin) -> None:
    await remote.configure({"url": f"{origin.url}/c.yaml"}, type="http", includedModels=["one"])
    await remote.refresh()
    assert "If-None-Match" not in origin.asked[-1].headers
    assert await remote.names() == ["one"]


async def test_an_endless_answer_ends_at_the_size_limit(remote: Catalog, origin: Origin) -> None:
    origin.endless = True
    await remote.refresh()
    assert "source_max_bytes" in str((await remote.state()).error)
    assert await remote.names() == ["one", "two"]
    assert origin.sent_bytes < 64 * 1024 * 1024


async def test_a_server_that_never_answers_ends_at_the_time_out(remote: Catalog, origin: Origin) -> None:
    await remote.configure({"url": f"{origin.url}/hang"}, type="http")
    remote.handler = RefreshHandler(database=remote.database, timeout_seconds=0.2, max_bytes=MAX_BYTES)
    async with asyncio.timeout(30):
        await remote.refresh()
    assert "not read within 0.2 s" in str((await remote.state()).error)
    assert await remote.names() == ["one", "two"]


async def test_a_server_that_is_not_there_is_named(remote: Catalog, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/c.yaml"
    await remote.configure({"url": url}, type="http")
    await remote.refresh()
    assert url in str((await remote.state()).error)
    assert await remote.names() == ["one", "two"]

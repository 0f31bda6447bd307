"""Reads the bytes of a source: from a file, or over HTTP with conditional requests.

Invariant: a read ends within its time-out and holds at most `max_bytes` of content and a chunk, whatever
the other side does.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from catalog_server.catalog.documents import Unreadable

_CHUNK_BYTES = 64 * 1024


@dataclass(frozen=True)
class Validators:
    """What an HTTP server said about the content it gave, to be asked whether it has changed."""

    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True)
class Reading:
    """The content of a source; None if it is the content that `validators` were given for."""

    content: bytes | None
    validators: Validators


class Reader:
    """Reads sources; raises `Unreadable` for all that can go wrong with them."""

    def __init__(self, *, timeout_seconds: float, max_bytes: int) -> None:
        self._timeout_seconds = timeout_seconds
        self._max_bytes = max_bytes

    async def read(self, kind: str, properties: Mapping[str, str], known: Validators) -> Reading:
        """The content of a source of the type `yaml` (a file) or `http`."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                if kind == "yaml":
                    content = await asyncio.to_thread(self._read_file, Path(properties["yamlCatalogPath"]))
                    return Reading(content, Validators())
                if kind == "http":
                    return await self._read_http(properties["url"], known)
        except TimeoutError as error:
            raise Unreadable(f"not read within {self._timeout_seconds:g} s") from error
        raise Unreadable(f"sources of type {kind!r} are not supported; use yaml or http")

    def _read_file(self, path: Path) -> bytes:
        try:
            if not path.is_file():  # a pipe or device could block this thread for ever
                raise Unreadable(f"{path} is not a file" if path.exists() else f"{path} does not exist")
            with path.open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except OSError as error:
            raise Unreadable(f"{path} can not be read: {error.strerror}") from error
        self._check_size(len(content))
        return content

    async def _read_http(self, url: str, known: Validators) -> Reading:
        conditions = {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
        headers = {name: value for name, value in conditions.items() if value}
        try:
            # The bound is the one around all of `read`.
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as client,
                client.get(url, headers=headers) as response,
            ):
                if response.status == 304 and headers:
                    return Reading(None, known)
                if response.status != 200:
                    raise Unreadable(f"{url} answered {response.status} {response.reason}")
                content = await self._read_body(response)
        except (aiohttp.ClientError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise Unreadable(f"{url} can not be read: {reason}") from error
        given = response.headers
        return Reading(content, Validators(given.get("ETag"), given.get("Last-Modified")))

    async def _read_body(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            content += chunk
            self._check_size(len(content))
        return bytes(content)

    def _check_size(self, size: int) -> None:
        if size > self._max_bytes:
            raise Unreadable(f"larger than {self._max_bytes} bytes, the setting source_max_bytes")

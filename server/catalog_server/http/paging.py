"""Page tokens and the parameters that every list has in common.

A token says where the page before it ended (its last sort key and id), so pages neither overlap nor leave out
what was there throughout, however the list changes meanwhile. It is bound to the list, its filters and its
order: given to any other query it is refused, since it would silently skip items there.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from catalog_server.db.models import is_storable
from catalog_server.http.errors import BadRequest

DEFAULT_PAGE_SIZE = 10
MAX_PAGE_SIZE = 1000

MAX_BIGINT = 2**63 - 1

Choice = TypeVar("Choice", bound=str)
Position = tuple[Any, ...]  # the sort keys of the last item of a page


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for; `position` is where the page before ended."""

    size: int
    binding: str
    position: Position | None

    def token_after(self, position: Sequence[Any]) -> str:
        """The token of the page after the one that ends at `position`."""
        text = json.dumps([self.binding, *position], separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def requested_page(request: web.Request, *query: Any, key_types: Sequence[type]) -> Page:
    """The page a request asks for; `query` is all that a token is bound to beside the path.

    `key_types` are the types of the sort keys. Raises `BadRequest` for a bad pageSize or nextPageToken.
    """
    binding = hashlib.sha256(json.dumps([request.path, *query]).encode()).hexdigest()[:16]
    token = single(request, "nextPageToken")
    position = _position(token, binding, key_types) if token else None
    return Page(_page_size(single(request, "pageSize")), binding, position)


def single(request: web.Request, name: str) -> str:
    """A parameter's value, empty where it is not given. Raises `BadRequest` if no database could hold it."""
    values = repeated(request, name)
    return values[0] if values else ""


def repeated(request: web.Request, name: str) -> list[str]:
    """All non-empty values of a parameter."""
    values = [value for value in request.query.getall(name, []) if value]
    for value in values:
        if not is_storable(value):
            raise invalid(name, value, "text without NUL characters")
    return values


def one_of(request: web.Request, name: str, allowed: Sequence[Choice]) -> Choice | None:
    """A parameter with a closed set of values, matched without regard to case; None where it is not given."""
    value = single(request, name)
    for choice in allowed:
        if value.lower() == choice.lower():
            return choice
    if value:
        raise invalid(name, value, f"one of {', '.join(allowed)}")
    return None


def invalid(name: str, value: str, allowed: str) -> BadRequest:
    """The refusal of a parameter's value, with what is allowed."""
    shown = value if len(value) <= 80 else f"{value[:80]}..."
    return BadRequest(f"invalid value {shown!a} for parameter {name}: allowed is {allowed}")


def _page_size(value: str) -> int:
    if not value:
        return DEFAULT_PAGE_SIZE
    if value.isascii() and value.isdecimal() and len(value) <= 9 and 1 <= int(value) <= MAX_PAGE_SIZE:
        return int(value)
    raise invalid("pageSize", value, f"a number from 1 to {MAX_PAGE_SIZE}")


def _position(token: str, binding: str, key_types: Sequence[type]) -> Position:
    try:
        decoded = json.loads(base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        decoded = None
    if not isinstance(decoded, list) or len(decoded) != 1 + len(key_types) or decoded[0] != binding:
        raise invalid("nextPageToken", token, "the token of the page before, with the same other parameters")
    position = tuple(decoded[1:])
    if not all(map(_is_key, position, key_types)):
        raise invalid("nextPageToken", token, "a token that this service gave out")
    return position


def _is_key(value: Any, key_type: type) -> bool:
    if type(value) is not key_type:
        return False
    if isinstance(value, str):
        return is_storable(value)
    return not isinstance(value, int) or abs(value) <= MAX_BIGINT

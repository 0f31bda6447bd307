"""Page tokens: round trip, binding to the query, refusal of everything else."""

import math
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from catalog_server.http.errors import BadRequest
from catalog_server.http.paging import MAX_PAGE_SIZE, Page, requested_page

QUERY = ("NAME", "ASC", ["a"], "text")
KEY_TYPES = {str: st.text(st.characters(exclude_characters="\0", codec="utf-8")), int: st.integers(0, 2**63 - 1)}


def page(
    key_types: tuple[type, ...] = (str, int), query: Any = QUERY, path: str = "/models", **parameters: str
) -> Page:
    request = make_mocked_request("GET", str(URL(path).with_query(parameters)))
    return requested_page(request, *query, key_types=key_types)


@given(KEY_TYPES[str], KEY_TYPES[int])
def test_a_token_gives_back_the_position_it_was_made_of(key: str, row_id: int) -> None:
    token = page().token_after((key, row_id))
    assert page(nextPageToken=token).position == (key, row_id)


@given(st.floats(allow_nan=False), KEY_TYPES[int])
def test_infinite_sort_keys_survive(key: float, row_id: int) -> None:
    token = page((float, int)).token_after((key, row_id))
    assert page((float, int), nextPageToken=token).position == (key, row_id)


def test_the_last_place_of_models_without_accuracy_survives() -> None:
    token = page((float, int)).token_after((math.inf, 1))
    assert page((float, int), nextPageToken=token).position == (math.inf, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"query": ("NAME", "DESC", ["a"], "text")},
        {"query": ("ID", "ASC", ["a"], "text")},
        {"query": ("NAME", "ASC", ["b"], "text")},
        {"query": ("NAME", "ASC", ["a"], "")},
        {"path": "/sources"},
    ],
    ids=["order", "key", "filter", "text", "list"],
)
def test_a_token_from_elsewhere_is_refused(other: dict[str, Any]) -> None:
    token = page().token_after(("name", 7))
    with pytest.raises(BadRequest, match="nextPageToken"):
        page(nextPageToken=token, **other)


def test_the_page_size_may_change_between_pages() -> None:
    token = page(pageSize="3").token_after(("name", 7))
    assert page(pageSize="5", nextPageToken=token).position == ("name", 7)


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(BadRequest, match="nextPageToken"):
        page(nextPageToken=token)


@pytest.mark.parametrize(
    "position",
    [("a",), ("a", 1, 2), (1, 1), ("a", "1"), ("a", True), ("a", 1.0), ("a", None), ("a", 2**63), ("\0", 1), ([], {})],
)
def test_a_forged_position_is_refused(position: tuple[Any, ...]) -> None:
    with pytest.raises(BadRequest, match="nextPageToken"):
        page(nextPageToken=page().token_after(position))


@pytest.mark.parametrize("size", ["0", "-1", "1.5", "ten", "1001", "9" * 30, "٣", " 5", "+5"])
def test_a_bad_page_size_is_refused_with_what_is_allowed(size: str) -> None:
    with pytest.raises(BadRequest, match=f"invalid value .* pageSize: allowed is a number from 1 to {MAX_PAGE_SIZE}"):
        page(pageSize=size)


def test_an_empty_parameter_counts_as_left_out() -> None:
    assert page(pageSize="", nextPageToken="") == page()
    assert page().size == 10

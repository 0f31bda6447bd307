"""Globs of model names."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_server.catalog.filters import name_filter


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("*", "group/model", True),
        ("group/*", "Group/Model-A", True),
        ("GROUP/*", "group/model", True),
        ("model", "group/model", False),  # anchored
        ("group/model", "group/model-2", False),
        ("*model*", "group/model-2", True),
        ("a*b*c", "a-b-c", True),
        ("a*b*c", "a-c-b", False),
        ("ab*ba", "aba", False),  # the two ends may not share a character
        ("a.c", "abc", False),  # only * is special
        ("[ab]", "a", False),
        ("a?c", "abc", False),
        ("100%*", "100% Model", True),
        ("", "", True),
        ("", "a", False),
        ("a*c", "a\nc", True),
    ],
)
def test_a_pattern_matches_the_whole_name_in_any_case(pattern: str, name: str, matches: bool) -> None:
    assert name_filter([pattern], [])(name) is matches


def test_without_included_patterns_every_name_is_wanted() -> None:
    assert name_filter([], [])("anything/at-all")


def test_exclusion_wins_over_inclusion() -> None:
    is_wanted = name_filter(["group/*"], ["*-DRAFT"])
    assert is_wanted("group/model")
    assert not is_wanted("group/model-draft")
    assert not is_wanted("other/model")


@given(st.text("ab*", max_size=8), st.text("abAB", max_size=10))
def test_a_pattern_means_what_the_regular_expression_does(pattern: str, name: str) -> None:
    expression = ".*".join(map(re.escape, pattern.split("*")))
    assert name_filter([pattern], [])(name) is bool(re.fullmatch(expression, name, re.IGNORECASE | re.DOTALL))


def test_many_stars_cost_no_more_than_one() -> None:
    # As a regular expression this would run for longer than anyone waits.
    assert not name_filter(["*a" * 40 + "b"], [])("a" * 500)

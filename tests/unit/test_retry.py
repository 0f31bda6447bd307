"""Backoff: bounds, growth and jitter, for every attempt and draw."""

from hypothesis import given
from hypothesis import strategies as st

from catalog_server.jobs import RetryPolicy

ATTEMPTS = st.integers(1, 10_000)
DRAWS = st.floats(0, 1, exclude_max=True)


@given(attempt=ATTEMPTS, draw=DRAWS)
def test_a_pause_is_between_half_and_the_whole_of_its_bound(attempt: int, draw: float) -> None:
    policy = RetryPolicy(2.0, 60.0, draw=lambda: draw)
    bound = min(60.0, 2.0 * 2.0 ** min(attempt - 1, 60))
    assert bound / 2 <= policy.pause_seconds(attempt) <= bound


@given(attempt=ATTEMPTS, draw=DRAWS)
def test_with_the_same_draw_pauses_never_shrink(attempt: int, draw: float) -> None:
    policy = RetryPolicy(0.5, 300.0, draw=lambda: draw)
    assert policy.pause_seconds(attempt) <= policy.pause_seconds(attempt + 1)


def test_pauses_double_until_the_longest() -> None:
    policy = RetryPolicy(1.0, 10.0, draw=lambda: 1.0)
    assert [policy.pause_seconds(attempt) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]


def test_jitter_spreads_jobs_that_failed_together() -> None:
    policy = RetryPolicy(1.0, 300.0)
    assert len({policy.pause_seconds(5) for _ in range(100)}) > 90

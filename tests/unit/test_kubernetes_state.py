"""The words of the recorded state: what is written, what is understood, what is told of the rest."""

from datetime import UTC, datetime

import pytest

from catalog_server.kubernetes.state import MalformedState, Phase, State, parse_state

STATE = State(Phase.OPERATIONAL, 7, 2, "1.0", datetime(2026, 1, 2, 3, 4, 5, 678000, UTC))
DATA = STATE.render()


def test_a_state_is_read_as_it_was_written() -> None:
    assert DATA == {
        "phase": "OPERATIONAL",
        "epoch": "7",
        "schemaVersion": "2",
        "serverVersion": "1.0",
        "timestamp": "2026-01-02T03:04:05.678+00:00",
    }
    read = parse_state(DATA)
    assert read is not None
    assert (read, read.written_at) == (STATE, STATE.written_at)


def test_two_states_that_differ_in_their_time_alone_say_the_same() -> None:
    assert parse_state(DATA | {"timestamp": "2020-01-01T00:00:00Z"}) == STATE


@pytest.mark.parametrize("data", [{}, {"note": "of another tool"}])
def test_data_of_others_alone_is_no_state(data: dict[str, str]) -> None:
    assert parse_state(data) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("phase", "RUNNING"),
        ("phase", "operational"),
        ("epoch", "seven"),
        ("epoch", "-7"),
        ("epoch", ""),
        ("epoch", "9" * 19),
        ("epoch", "\u0667"),
        ("schemaVersion", "2.0"),
        ("serverVersion", ""),
        ("timestamp", "yesterday"),
    ],
)
def test_what_can_not_be_understood_is_named(key: str, value: str) -> None:
    with pytest.raises(MalformedState) as malformed:
        parse_state(DATA | {key: value})
    assert str(malformed.value).startswith(f"{key} = {value!r} is not ")


def test_everything_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(MalformedState) as malformed:
        parse_state({"phase": "OPERATIONAL"})
    for key in ("epoch", "schemaVersion", "serverVersion", "timestamp"):
        assert f"{key} = None" in str(malformed.value)

"""Tokens, heartbeats, and the order in which a heartbeat's parts are taken down."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_server import replicas
from catalog_server.db import Database, Session
from catalog_server.reads import MalformedToken, Position, Reads, Standby, Token, Unfit
from catalog_server.reads.heartbeats import KEPT, Heartbeat, Heartbeats

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
positions = st.builds(
    Position,
    system=st.integers(0, 2**64 - 1),
    timeline=st.integers(0, 2**32 - 1),
    lsn=st.integers(0, 2**64 - 1),
)


@given(position=st.none() | positions)
def test_a_token_survives_its_way_to_the_client_and_back(position: Position | None) -> None:
    assert Token.parse(str(Token(position))) == Token(position)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PRIMARY",
        "0/16B3748",
        "0-0-0",
        "6b0c3a0e00000001-00000001-00000000016b374",
        "6b0c3a0e00000001-00000001-00000000016B3748",
        "6b0c3a0e00000001-00000001-00000000016b3748\n",
        "6b0c3a0e00000001-00000001-00000000016b3748, primary",
        "\u0666b0c3a0e00000001-00000001-00000000016b3748",
    ],
)
def test_anything_else_is_no_token(text: str) -> None:
    with pytest.raises(MalformedToken):
        Token.parse(text)


def test_a_position_includes_those_before_it_on_its_own_timeline_alone() -> None:
    here = Position(system=1, timeline=2, lsn=100)
    assert here.includes(here)
    assert here.includes(Position(1, 2, 99))
    assert not here.includes(Position(1, 2, 101))
    for elsewhere in (Position(1, 1, 99), Position(1, 3, 99), Position(2, 2, 99)):
        assert not here.includes(elsewhere)


def test_a_heartbeat_is_found_by_what_was_stored_and_by_nothing_near_it() -> None:
    heartbeats = Heartbeats()
    stored = Heartbeat(1.0, None)
    heartbeats.add(NOON, stored)
    assert heartbeats.find(NOON) is stored
    assert heartbeats.find(NOON + timedelta(microseconds=1)) is None
    assert heartbeats.find(None) is None


def test_of_two_heartbeats_that_look_the_same_the_older_one_counts() -> None:
    """After the database's clock was set back, the standby may still show the first."""
    heartbeats = Heartbeats()
    heartbeats.add(NOON, Heartbeat(1.0, None))
    heartbeats.add(NOON, Heartbeat(9.0, None))
    found = heartbeats.find(NOON)
    assert found is not None
    assert found.begun_at == 1.0


def test_old_heartbeats_are_forgotten() -> None:
    heartbeats = Heartbeats()
    for second in range(KEPT + 1):
        heartbeats.add(NOON + timedelta(seconds=second), Heartbeat(float(second), None))
    assert heartbeats.find(NOON) is None
    assert heartbeats.find(NOON + timedelta(seconds=1)) is not None
    assert heartbeats.find(NOON + timedelta(seconds=KEPT)) is not None


@pytest.fixture
def sqlite(sqlite_dsn: str) -> Iterator[Database]:
    """One file in place of both databases: what one writes the other has."""
    database = Database(sqlite_dsn, purpose="test", size=1, deadline_seconds=5, connect_timeout_seconds=5)
    yield database
    database.close()


def write_row(session: Session, seen_at: Any) -> None:
    row = {"id": "me", "name": "me", "server_version": "1", "schema_head": 2, "url": None, "ready": True}
    replicas.beat(session, **row, seen_at=seen_at)


async def test_a_heartbeat_is_as_old_as_the_moment_before_it_was_written(sqlite: Database) -> None:
    now = 100.0
    standby = Standby(sqlite, identity="me", staleness_seconds=5, clock=lambda: now)

    def write_slowly(session: Session, seen_at: Any) -> None:
        nonlocal now
        now += 5.1
        write_row(session, seen_at)

    await standby.beat(sqlite, write_slowly)
    with pytest.raises(Unfit) as unfit:
        await standby.run(lambda session: 1, None)
    assert unfit.value.reason == "stale"


async def test_a_heartbeat_that_was_not_written_proves_nothing(sqlite: Database) -> None:
    now = 100.0
    standby = Standby(sqlite, identity="me", staleness_seconds=5, clock=lambda: now)
    await standby.beat(sqlite, write_row)
    now += 5.1

    def fail(session: Session, seen_at: Any) -> None:
        raise ConnectionError("before the commit")

    with pytest.raises(ConnectionError):
        await standby.beat(sqlite, fail)
    with pytest.raises(Unfit):
        await standby.run(lambda session: 1, None)
    await standby.beat(sqlite, write_row)
    assert await standby.run(lambda session: 1, None) == 1


async def test_without_a_standby_the_primary_answers_and_sqlite_has_no_tokens(sqlite: Database) -> None:
    reads = Reads(sqlite)
    assert await reads.run(lambda session: session.scalar("SELECT 7"), Token(None)) == 7
    assert await reads.token() is None


def test_five_heartbeats_fit_into_the_bound(sqlite: Database) -> None:
    assert Standby(sqlite, identity="me", staleness_seconds=5).heartbeat_seconds == 1.0

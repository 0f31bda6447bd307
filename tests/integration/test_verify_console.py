"""The line to one member of a database on kind, here without a node between: the agent runs on this machine."""

import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from ha_verify.targets.kind import console
from ha_verify.targets.kind.console import AGENT, Console, NotReached
from support.postgres import PostgresServer, StandbyServer, wait_until

Command = list[str]
HERE: Command = [sys.executable, "-u", str(AGENT)]
UNBOUND_SECONDS = 20.0


@pytest.fixture
def ask(own_postgres: PostgresServer) -> Callable[..., AbstractContextManager[Console]]:
    @contextmanager
    def make(command: Command = HERE, **session: Any) -> Iterator[Console]:
        at: dict[str, Any] = {"host": str(own_postgres.socket_dir), "port": own_postgres.port}
        made = Console("catalog-server-db-0", command, at | session)
        try:
            yield made
        finally:
            made.close()

    return make


def test_a_member_says_what_it_is_and_on_which_timeline_it_took_a_write(ask: Any) -> None:
    with ask() as member:
        looked = member.look(5.0)
        assert (looked.name, looked.role, looked.timeline, looked.follows) == (
            "catalog-server-db-0",
            "primary",
            1,
            False,
        )
        assert member.write(5.0) == 1
        assert member.look(5.0).lsn > looked.lsn
        assert member.undelivered_bytes(5.0) is None


def test_a_standby_follows_takes_no_write_and_has_what_was_delivered(own_postgres: PostgresServer, ask: Any) -> None:
    standby = StandbyServer(own_postgres)
    there = {"host": str(standby.socket_dir), "port": standby.port}
    try:
        with ask() as primary, ask(**there) as member:
            wait_until(lambda: member.look(5.0).follows, what="the standby to follow")
            assert member.look(5.0).role == "standby"
            with pytest.raises(psycopg2.OperationalError, match="recovery"):
                member.write(5.0)
            with pytest.raises(NotReached):
                member.query("SELECT 1", (), database="postgres", seconds=5.0)
            assert primary.undelivered_bytes(5.0) <= 0
            standby.pause()
            assert primary.undelivered_bytes(5.0) > 0
    finally:
        standby.stop()


def test_what_json_has_no_type_for_arrives_as_it_was(ask: Any) -> None:
    query = "SELECT to_timestamp(0.5) AS at, 1.50 AS share, %s::int[] AS numbers, '{\"a\": [1]}'::jsonb AS document"
    with ask() as member:
        (row,) = member.query(query, [[1, 2]], database="postgres", seconds=5.0)
    assert row == {
        "at": datetime.fromtimestamp(0.5, UTC),
        "share": Decimal("1.50"),
        "numbers": [1, 2],
        "document": {"a": [1]},
    }


def test_a_statement_that_fails_is_told_in_postgresql_s_words_and_the_line_goes_on(ask: Any) -> None:
    with ask() as member:
        with pytest.raises(psycopg2.OperationalError, match='relation "nowhere" does not exist') as told:
            member.query("SELECT * FROM nowhere", (), database="postgres", seconds=5.0)
        assert not isinstance(told.value, NotReached), "whoever was asked is the primary: nobody else has to be"
        assert member.write(5.0) == 1


def test_one_that_waits_holds_up_no_other_and_is_given_up_in_time(ask: Any) -> None:
    with ask() as member, ThreadPoolExecutor() as threads:
        began = time.monotonic()
        waits = threads.submit(member.query, "SELECT pg_sleep(14)", (), database="postgres", seconds=2.0)
        assert member.write(5.0) == 1
        assert not waits.done()
        with pytest.raises(psycopg2.OperationalError):
            waits.result(UNBOUND_SECONDS)
        assert 1.9 < time.monotonic() - began < 10


def test_a_paused_member_says_nothing_and_is_asked_on_the_same_line_when_it_goes_on(
    own_postgres: PostgresServer, ask: Any
) -> None:
    with ask() as member:
        member.look(5.0)
        line = member._line
        own_postgres.pause()
        try:
            with pytest.raises(NotReached, match="timeout expired"):
                member.look(2.0)
        finally:
            own_postgres.resume()
        assert member.look(5.0).role == "primary"
        assert member._line is line


def test_a_member_that_is_gone_is_looked_for_again_but_not_all_the_time(
    own_postgres: PostgresServer, ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "ATTEMPT_SECONDS", 3600.0)
    with ask() as member:
        member._tried_at = -3600.0
        member.look(5.0)
        own_postgres.crash()
        try:
            with pytest.raises(NotReached, match=r"Connection refused|No such file"):
                member.look(5.0)
            with pytest.raises(NotReached, match=r"is away: .*(Connection refused|No such file)"):
                member.look(5.0)
            assert member._line is None, "nothing was started to find that out"
        finally:
            own_postgres.start()
        member._tried_at = -3600.0
        assert member.look(5.0).role == "primary"


def test_where_the_line_can_not_be_had_the_reason_is_told(ask: Any) -> None:
    with (
        ask(["sh", "-c", "echo catalog-server-db-0 does not run on its node; exit 1"]) as member,
        pytest.raises(NotReached, match="does not run on its node"),
    ):
        member.look(5.0)


def test_a_node_that_is_frozen_holds_nobody_up_and_is_not_sent_ever_more(
    ask: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "WAY_SECONDS", 0.0)
    monkeypatch.setattr(console, "MAX_UNANSWERED", 2)
    with ask(["sleep", "60"]) as member:
        for _ in range(2):
            with pytest.raises(NotReached, match=r"said nothing for 0\.1 s"):
                member.look(0.1)
        with pytest.raises(NotReached, match="has not answered the last 2 questions"):
            member.look(0.1)


def test_the_agent_ends_with_its_line(ask: Any) -> None:
    with ask() as member:
        member.look(5.0)
        agent = member._line._agent
    assert agent.poll() is not None

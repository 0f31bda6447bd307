"""The verification's own way to the database: it never waits longer than it wants to."""

import time
from collections.abc import Iterator

import psycopg2
import psycopg2.extensions
import pytest

from catalog_server.db import deadline
from ha_verify.targets.member_server import MemberServer
from support.postgres import PostgresServer


@pytest.fixture(autouse=True)
def without_the_server_s_deadlines() -> Iterator[None]:
    """The verification runs without the server's code, which would want a deadline for every database call."""
    psycopg2.extensions.set_wait_callback(None)
    yield
    deadline.install()


def test_a_statement_that_is_not_answered_in_time_is_given_up(postgres: PostgresServer) -> None:
    member = MemberServer("postgresql", postgres.dsn())
    began = time.monotonic()
    with pytest.raises(psycopg2.OperationalError):
        member.sql("SELECT pg_sleep(14)", seconds=1.0)
    assert 0.9 < time.monotonic() - began < 10


def test_a_member_says_what_it_is_and_on_which_timeline_it_took_a_write(postgres: PostgresServer) -> None:
    member = MemberServer("postgresql", postgres.dsn())
    looked = member.look(5.0)
    assert (looked.name, looked.role, looked.timeline, looked.follows) == ("postgresql", "primary", 1, False)
    assert member.write(5.0) == 1
    assert member.look(5.0).lsn > looked.lsn


def test_what_a_primary_without_replicas_has_not_delivered_is_not_known(postgres: PostgresServer) -> None:
    assert MemberServer("postgresql", postgres.dsn()).undelivered_bytes(5.0) is None

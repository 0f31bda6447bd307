"""Catalog reads with a real standby: fresh, behind, cut off, frozen, gone, promoted."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import peewee
import pytest

from catalog_server.db import DatabaseUnavailable, Session
from catalog_server.migrations import upgrade_to_head
from catalog_server.observability import metrics
from catalog_server.reads import Token
from integration.reads_pair import BOUND_SECONDS, Pair, ReadingServer, eventually, write_row
from support.postgres import PostgresServer

COUNT = "SELECT count(*) FROM replicas WHERE name = 'written'"
WRITE = "INSERT INTO replicas (id, name, server_version, schema_head, ready, started_at, last_seen_at) " + (
    "VALUES (gen_random_uuid(), 'written', '1', 2, true, now(), now())"
)


def make_pair() -> Pair:
    primary = PostgresServer()
    upgrade_to_head(primary.dsn())
    return Pair(primary)


@pytest.fixture(scope="module")
def shared_pair() -> Iterator[Pair]:
    pair = make_pair()
    yield pair
    pair.standby.stop()
    pair.primary.stop()


@pytest.fixture
def pair(shared_pair: Pair) -> Iterator[Pair]:
    """As it was made, whatever a test did to it."""
    yield shared_pair
    shared_pair.standby.resume()
    shared_pair.standby.execute("SELECT pg_wal_replay_resume()")
    shared_pair.standby.follow_again()
    shared_pair.primary.execute("DELETE FROM replicas")
    shared_pair.wait_until_caught_up()


@pytest.fixture
def server(pair: Pair) -> Iterator[ReadingServer]:
    server = ReadingServer(pair)
    yield server
    server.close()


@pytest.fixture
def own_pair() -> Iterator[Pair]:
    """For a test after which the two do not belong together any more."""
    pair = make_pair()
    yield pair
    pair.standby.stop()
    pair.primary.stop()


def fallbacks(reason: str) -> float:
    return metrics.READ_FALLBACKS.labels(reason)._value.get()


async def test_a_fresh_standby_answers(server: ReadingServer) -> None:
    assert await server.reads_from() == "primary"  # as long as nothing is known of it
    await server.beat_and_catch_up()
    assert await server.reads_from() == "standby"
    assert metrics.STANDBY_LAG._value.get() == 0


async def test_a_standby_that_does_not_replay_is_used_up_to_the_bound_and_then_the_primary_is_right(
    pair: Pair, server: ReadingServer
) -> None:
    await server.beat_and_catch_up()
    pair.standby.execute("SELECT pg_wal_replay_pause()")
    await server.write(WRITE)
    server.now += BOUND_SECONDS - 0.1
    await server.beat()
    assert (await server.reads_from(), await server.read(COUNT)) == ("standby", 0)
    server.now += 0.2
    before = fallbacks("stale")
    assert (await server.reads_from(), await server.read(COUNT)) == ("primary", 1)
    assert fallbacks("stale") == before + 2
    assert metrics.STANDBY_LAG._value.get() == pytest.approx(BOUND_SECONDS + 0.1)

    pair.standby.execute("SELECT pg_wal_replay_resume()")
    pair.wait_until_caught_up()
    assert (await server.reads_from(), await server.read(COUNT)) == ("standby", 1)


async def test_a_standby_that_is_cut_off_from_an_idle_primary_is_not_used_after_the_bound(
    pair: Pair, server: ReadingServer
) -> None:
    await server.beat_and_catch_up()
    pair.standby.cut_off()
    # By its own account it has replayed all that it received, and its receiver says nothing.
    ((is_level,),) = pair.standby.execute("SELECT pg_last_wal_receive_lsn() <= pg_last_wal_replay_lsn()")
    assert is_level
    server.now += BOUND_SECONDS + 0.1
    await server.beat()
    assert await server.reads_from() == "primary"
    pair.standby.follow_again()
    pair.wait_until_caught_up()
    assert await server.reads_from() == "standby"


async def test_heartbeats_that_are_not_written_make_the_standby_stale(server: ReadingServer) -> None:
    """Such as when the primary can not be reached: nobody knows what it has by now."""
    await server.beat_and_catch_up()
    server.now += BOUND_SECONDS + 0.1
    assert await server.reads_from() == "primary"


async def test_a_heartbeat_is_known_as_soon_as_it_can_be_seen(pair: Pair, server: ReadingServer) -> None:
    await server.beat_and_catch_up()
    loop = asyncio.get_running_loop()
    seen = []

    def write_and_read_before_the_answer(session: Session, seen_at: Any) -> None:
        write_row(session, seen_at)
        pair.wait_until_caught_up()
        seen.append(asyncio.run_coroutine_threadsafe(server.reads_from(), loop).result(10))

    await server.standby.beat(server.primary_pool, write_and_read_before_the_answer)
    assert seen == ["standby"]


async def test_another_server_s_heartbeat_says_nothing_of_this_one_s(pair: Pair, server: ReadingServer) -> None:
    other = ReadingServer(pair)
    await other.beat_and_catch_up()
    assert await other.reads_from() == "standby"
    assert await server.reads_from() == "primary"
    other.close()


async def test_a_client_reads_its_own_writes(pair: Pair, server: ReadingServer) -> None:
    await server.beat_and_catch_up()
    pair.standby.execute("SELECT pg_wal_replay_pause()")
    token = await server.write(WRITE)
    await server.beat()
    before = fallbacks("token")
    assert await server.read(COUNT) == 0  # without it
    assert (await server.reads_from(token), await server.read(COUNT, token)) == ("primary", 1)
    assert fallbacks("token") == before + 2

    pair.standby.execute("SELECT pg_wal_replay_resume()")
    pair.wait_until_caught_up()
    assert (await server.reads_from(token), await server.read(COUNT, token)) == ("standby", 1)


async def test_what_is_committed_just_after_a_heartbeat_is_not_taken_for_part_of_it(
    pair: Pair, server: ReadingServer
) -> None:
    await server.beat_and_catch_up()

    def beat_replay_and_write(session: Session, seen_at: Any) -> None:
        write_row(session, seen_at)
        pair.wait_until_caught_up()
        pair.standby.execute("SELECT pg_wal_replay_pause()")
        session.execute(WRITE)

    await server.standby.beat(server.primary_pool, beat_replay_and_write)
    token = await server.reads.token()
    assert await server.reads_from() == "standby"
    assert (await server.reads_from(token), await server.read(COUNT, token)) == ("primary", 1)


async def test_a_token_is_valid_on_every_server(pair: Pair, server: ReadingServer) -> None:
    other = ReadingServer(pair)
    token = await other.write(WRITE)
    await server.beat_and_catch_up()
    assert await server.read(COUNT, Token.parse(str(token))) == 1
    assert await server.reads_from(token) == "standby"
    other.close()


@pytest.mark.parametrize("elsewhere", [{"timeline": 2}, {"timeline": 0}, {"system": 1}])
async def test_a_token_of_another_history_is_for_the_primary(server: ReadingServer, elsewhere: dict[str, int]) -> None:
    token = await server.write(WRITE)
    assert token.position is not None
    await server.beat_and_catch_up()
    assert await server.reads_from(token) == "standby"
    assert await server.reads_from(Token(replace(token.position, **elsewhere))) == "primary"
    assert await server.reads_from(Token(None)) == "primary"


async def test_where_the_position_may_not_be_known_tokens_are_for_the_primary_and_freshness_is_known_all_the_same(
    pair: Pair,
) -> None:
    pair.primary.execute("CREATE ROLE plain LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO plain")
    pair.primary.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    server = ReadingServer(pair, writes_dsn=pair.primary.dsn().replace("postgres@", "plain@"))
    try:
        await server.beat_and_catch_up()
        assert await server.reads.token() == Token(None)
        assert await server.reads_from() == "standby"
        assert await server.reads_from(Token(None)) == "primary"
    finally:
        server.close()
        pair.primary.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
        pair.primary.execute("DROP OWNED BY plain; DROP ROLE plain")


async def test_a_primary_that_is_away_gives_no_position_and_no_error(pair: Pair) -> None:
    server = ReadingServer(pair, writes_dsn="postgresql://postgres@127.0.0.1:1/postgres")
    assert await server.reads.token() == Token(None)
    with pytest.raises(DatabaseUnavailable):
        await server.beat()
    server.close()


async def test_what_fails_on_the_standby_alone_is_read_from_the_primary(server: ReadingServer) -> None:
    await server.beat_and_catch_up()
    before = fallbacks("failed")
    assert await server.read("SELECT 1 / (CASE WHEN pg_is_in_recovery() THEN 0 ELSE 1 END)") == 1
    assert fallbacks("failed") == before + 1
    assert await server.reads_from() == "standby"
    with pytest.raises(peewee.DatabaseError, match="division by zero"):
        await server.read("SELECT 1 / 0")


async def test_a_frozen_standby_costs_one_deadline_and_comes_back_by_itself(
    pair: Pair, server: ReadingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.beat_and_catch_up()
    assert await server.reads_from() == "standby"
    pair.standby.pause()
    asked = Mock(side_effect=server.reads_pool.run)
    monkeypatch.setattr(server.reads_pool, "run", asked)
    assert [await server.reads_from() for _ in range(20)] == ["primary"] * 20
    assert asked.call_count == 1

    watch = asyncio.create_task(server.standby.watch())
    pair.standby.resume()

    async def is_back() -> bool:
        return await server.reads_from() == "standby"

    await eventually(is_back, "the standby's return")
    watch.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watch


async def test_no_read_fails_while_the_standby_is_killed_and_started(pair: Pair, server: ReadingServer) -> None:
    watch = asyncio.create_task(server.standby.watch())
    await server.beat_and_catch_up()
    seen = []

    async def client() -> None:
        while True:
            seen.append(await server.reads_from())

    clients = [asyncio.create_task(client()) for _ in range(4)]

    async def are_from(where: str) -> None:
        begun = len(seen)

        async def next_are() -> bool:
            return where in seen[begun:]

        await eventually(next_are, f"reads from the {where}")

    await are_from("standby")
    await asyncio.to_thread(pair.standby.crash)
    await are_from("primary")
    await asyncio.to_thread(pair.standby.start)
    await are_from("standby")
    for task in [watch, *clients]:
        assert not task.done()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_of_several_hosts_the_dsn_says_which_are_wanted(pair: Pair) -> None:
    hosts = f"127.0.0.1:{pair.primary.port},127.0.0.1:{pair.standby.port}"
    server = ReadingServer(pair, reads_dsn=f"postgresql://postgres@{hosts}/postgres?target_session_attrs=standby")
    await server.beat_and_catch_up()
    assert await server.reads_from() == "standby"
    server.close()


async def test_a_standby_that_is_promoted_beside_its_primary_is_not_used_after_the_bound(own_pair: Pair) -> None:
    server = ReadingServer(own_pair)
    await server.beat_and_catch_up()
    own_pair.standby.promote()
    server.now += BOUND_SECONDS + 0.1
    token = await server.write(WRITE)
    await server.beat()
    assert (await server.reads_from(), await server.read(COUNT)) == ("primary", 1)
    assert await server.read(COUNT, token) == 1
    server.close()


async def test_after_a_fail_over_the_promoted_one_is_read_from_and_never_written_to_by_reads(own_pair: Pair) -> None:
    hosts = f"127.0.0.1:{own_pair.primary.port},127.0.0.1:{own_pair.standby.port}"
    server = ReadingServer(own_pair, writes_dsn=f"postgresql://postgres@{hosts}/postgres")
    old_token = await server.write(WRITE)
    await server.beat_and_catch_up()
    assert await server.reads_from(old_token) == "standby"
    own_pair.primary.crash()
    own_pair.standby.promote()
    assert await server.read(COUNT) == 1

    server.now += BOUND_SECONDS + 0.1
    await server.beat()
    used = metrics.READS.labels("standby")._value
    before = used.get()
    assert await server.read(COUNT) == 1
    new_token = await server.write(WRITE)
    await server.beat()
    assert await server.read(COUNT, new_token) == 2
    assert used.get() == before + 2
    assert await server.read(COUNT, old_token) == 2
    assert used.get() == before + 2  # the old timeline's token was for the primary
    with pytest.raises(peewee.DatabaseError, match="read-only"):
        await server.reads_pool.run(lambda session: session.execute(WRITE))
    server.close()

"""Calls to the database end at their deadline, whatever the database does, and work again afterwards."""

import asyncio
import threading
from collections.abc import Iterator

import peewee
import pytest

from catalog_server.db import Database, DatabaseUnavailable, DeadlineExceeded
from support.haproxy import TcpProxy
from support.postgres import PostgresServer, free_port


@pytest.fixture
def proxy(own_postgres: PostgresServer) -> Iterator[TcpProxy]:
    proxy = TcpProxy(own_postgres.port)
    yield proxy
    own_postgres.resume()
    proxy.stop()


def pool(dsn: str, *, size: int = 2, deadline_seconds: float = 1.0, connect_timeout_seconds: float = 0.5) -> Database:
    return Database(
        dsn,
        purpose="test",
        size=size,
        deadline_seconds=deadline_seconds,
        connect_timeout_seconds=connect_timeout_seconds,
    )


async def one(database: Database) -> int:
    return int(await database.run(lambda session: session.scalar("SELECT 1")))


async def test_a_call_to_a_frozen_server_behind_a_proxy_ends_at_its_deadline_and_the_pool_recovers(
    own_postgres: PostgresServer, proxy: TcpProxy
) -> None:
    # One thread: with two, a call could fall to the one that has no connection yet.
    database = pool(own_postgres.dsn(port=proxy.port), size=1)
    assert await one(database) == 1
    own_postgres.pause()
    # The test's own time-out is generous; without a deadline these calls would wait for ever.
    async with asyncio.timeout(30):
        with pytest.raises(DeadlineExceeded):
            await one(database)
        for _ in range(4):  # new connections are accepted by the proxy and never answered
            with pytest.raises(DatabaseUnavailable):
                await one(database)
    own_postgres.resume()
    assert await one(database) == 1
    database.close()


async def test_a_connection_that_missed_its_deadline_is_never_used_again(
    own_postgres: PostgresServer,
) -> None:
    database = pool(own_postgres.dsn(), size=1)
    backend = await database.run(lambda session: session.scalar("SELECT pg_backend_pid()"))
    with pytest.raises(DeadlineExceeded):
        await database.run(lambda session: session.scalar("SELECT pg_sleep(20)"))
    assert await database.run(lambda session: session.scalar("SELECT pg_backend_pid()")) != backend
    database.close()


async def test_waiting_for_a_free_connection_is_part_of_the_deadline(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn(), size=1)
    release = threading.Event()
    busy = asyncio.create_task(database.run(lambda session: release.wait(20)))
    queued = asyncio.create_task(database.run(lambda session: session.scalar("SELECT 1"), deadline_seconds=0.05))
    await asyncio.sleep(0.1)  # until the queued call's deadline has passed
    release.set()
    with pytest.raises(DeadlineExceeded, match="no free connection"):
        await queued
    assert await busy
    database.close()


async def test_a_terminated_backend_costs_no_call_when_it_was_idle(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn())
    await one(database)
    own_postgres.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
    )
    assert await one(database) == 1
    database.close()


async def test_a_backend_terminated_at_work_is_reported_and_replaced(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn(), size=1)
    with pytest.raises(DatabaseUnavailable):
        await database.run(lambda session: session.scalar("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert await one(database) == 1
    database.close()


async def test_the_pool_recovers_from_a_crash_of_the_server(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn())
    await one(database)
    own_postgres.restart("immediate")
    assert await one(database) == 1
    database.close()


async def test_the_read_write_host_is_found_behind_hosts_that_are_down_frozen_or_read_only(
    own_postgres: PostgresServer,
) -> None:
    frozen = PostgresServer()
    read_only = PostgresServer(settings={"default_transaction_read_only": "on"})
    frozen.pause()
    try:
        hosts = ",".join(f"127.0.0.1:{port}" for port in (free_port(), frozen.port, read_only.port, own_postgres.port))
        database = pool(f"postgresql://postgres@{hosts}/postgres", deadline_seconds=10)
        port = await database.run(lambda session: session.scalar("SELECT inet_server_port()"))
        assert port == own_postgres.port
        database.close()
    finally:
        frozen.stop()
        read_only.stop()


@pytest.mark.parametrize("frozen_hosts", [1, 2])
async def test_a_silent_host_is_tried_last_where_the_deadline_leaves_time_for_one_only(
    own_postgres: PostgresServer, frozen_hosts: int
) -> None:
    frozen = PostgresServer()
    proxies = [TcpProxy(frozen.port) for _ in range(frozen_hosts)]  # each an address of its own
    frozen.pause()
    hosts = ",".join(f"127.0.0.1:{port}" for port in (*(proxy.port for proxy in proxies), own_postgres.port))
    database = pool(f"postgresql://postgres@{hosts}/postgres", deadline_seconds=1, connect_timeout_seconds=1)
    try:
        for _ in range(frozen_hosts):
            with pytest.raises(DatabaseUnavailable):
                await one(database)
        assert await one(database) == 1
    finally:
        database.close()
        frozen.stop()
        for proxy in proxies:
            proxy.stop()


async def test_a_statement_that_fails_is_not_blamed_on_the_connection(any_database: Database) -> None:
    with pytest.raises((peewee.ProgrammingError, peewee.OperationalError)):
        await any_database.run(lambda session: session.execute("SELEC 1"))
    assert await one(any_database) == 1


async def test_a_transaction_is_all_or_nothing(any_database: Database) -> None:
    await any_database.run(lambda session: session.execute("CREATE TABLE effects (value integer)"))

    def half(session):  # type: ignore[no-untyped-def]
        session.execute("INSERT INTO effects VALUES (1)")
        raise ValueError("stopped half-way")

    with pytest.raises(ValueError, match="half-way"):
        await any_database.transaction(half)
    assert await any_database.run(lambda session: session.scalar("SELECT count(*) FROM effects")) == 0


async def test_connections_are_bounded_by_the_size_of_the_pool(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn(), size=3, deadline_seconds=20)
    backends = await asyncio.gather(
        *(database.run(lambda session: session.scalar("SELECT pg_backend_pid()")) for _ in range(60))
    )
    assert len(set(backends)) <= 3
    database.close()


async def test_closing_the_pool_closes_its_connections(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn(), size=3)
    await asyncio.gather(*(one(database) for _ in range(30)))
    await asyncio.to_thread(database.close)
    count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'catalog-server/test'"
    for _ in range(200):
        if own_postgres.execute(count) == [(0,)]:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("connections were left open")


def test_a_call_without_a_deadline_is_a_mistake_that_is_noticed(own_postgres: PostgresServer) -> None:
    database = pool(own_postgres.dsn())
    with database.session() as session:
        connection = session.peewee.connection()
    with pytest.raises(RuntimeError, match="without a deadline"):
        connection.cursor().execute("SELECT 1")
    database.close_this_thread()


def test_a_dsn_that_can_not_be_understood_is_refused_without_its_password() -> None:
    with pytest.raises(DatabaseUnavailable) as caught:
        pool("postgresql://user:hunter2@host:port:port/name?nonsense=1")
    assert "hunter2" not in str(caught.value)

"""A primary and its standby, and the reads of one server on them under a clock that a test turns."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from catalog_server import replicas
from catalog_server.db import Database, Session
from catalog_server.reads import Reads, Standby, Token
from support.postgres import PostgresServer, StandbyServer, wait_until

BOUND_SECONDS = 5.0
DEADLINE_SECONDS = 1.0


class Pair:
    """Both servers; what is committed on the one is replayed on the other in no time."""

    def __init__(self, primary: PostgresServer) -> None:
        self.primary = primary
        self.standby = StandbyServer(primary)

    def wait_until_caught_up(self) -> None:
        ((lsn,),) = self.primary.execute("SELECT pg_current_wal_insert_lsn()")
        caught_up = f"SELECT 1 WHERE pg_last_wal_replay_lsn() >= '{lsn}'"
        wait_until(lambda: self.standby.execute(caught_up), what="the standby to catch up")


class ReadingServer:
    """What a server has of reads. Its clock stands still unless a test says otherwise."""

    def __init__(self, pair: Pair, *, writes_dsn: str | None = None, reads_dsn: str | None = None) -> None:
        self.pair = pair
        self.now = 1000.0
        self.primary_pool = _pool(writes_dsn or pair.primary.dsn(), "api")
        self.reads_pool = _pool(reads_dsn or pair.standby.dsn(), "reads", read_only=True)
        self.standby = Standby(
            self.reads_pool, identity="server/1", staleness_seconds=BOUND_SECONDS, clock=lambda: self.now
        )
        self.reads = Reads(self.primary_pool, self.standby)

    async def beat(self) -> None:
        await self.standby.beat(self.primary_pool, write_row)

    async def beat_and_catch_up(self) -> None:
        await self.beat()
        self.pair.wait_until_caught_up()

    async def read(self, sql: str, token: Token | None = None) -> object:
        return await self.reads.run(lambda session: session.scalar(sql), token)

    async def reads_from(self, token: Token | None = None) -> str:
        """Which of the two answers."""
        port = await self.read("SELECT inet_server_port()", token)
        return {self.pair.primary.port: "primary", self.pair.standby.port: "standby"}[int(str(port))]

    async def write(self, sql: str) -> Token:
        """A write with what its answer would carry."""
        await self.primary_pool.run(lambda session: session.execute(sql))
        token = await self.reads.token()
        assert token is not None
        return token

    def close(self) -> None:
        self.reads_pool.close()
        self.primary_pool.close()


async def eventually(ask: Callable[[], Awaitable[bool]], what: str) -> None:
    """Asks again and again, for as long as `wait_until` would."""
    async with asyncio.timeout(30):
        while not await ask():  # noqa: ASYNC110  (what is asked for has no event)
            await asyncio.sleep(0.02)


def _pool(dsn: str, purpose: str, *, read_only: bool = False) -> Database:
    return Database(
        dsn,
        purpose=purpose,
        size=2,
        deadline_seconds=DEADLINE_SECONDS,
        connect_timeout_seconds=DEADLINE_SECONDS,
        read_only=read_only,
    )


def write_row(session: Session, seen_at: Any) -> None:
    """The server's row, as its heartbeat."""
    replicas.beat(
        session, id="server/1", name="s", server_version="1", schema_head=2, url=None, ready=True, seen_at=seen_at
    )

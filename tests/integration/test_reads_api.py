"""Reads from a standby as clients of a server see them."""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from catalog_server.db import Database
from catalog_server.reads import Reads, Token
from integration.api import BASE, ApiServer
from integration.conftest import CATALOG, SOURCES
from integration.reads_pair import Pair
from integration.test_api_client import fill
from support.postgres import PostgresServer, wait_until
from support.replica import ReplicaProcess

MODELS = f"{BASE}/models"
REFRESH = "/api/v1/sources/sample/refresh"
HEADER = "X-Consistency-Token"


def ask(url: str, *, method: str = "GET", token: str | None = None, body: bytes | None = None) -> tuple[int, Any, str]:
    """Status, JSON body, and the token in the answer."""
    headers = {} if token is None else {HEADER: token}
    request = urllib.request.Request(url, method=method, headers=headers, data=body)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read()), answer.headers.get(HEADER, "")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read()), error.headers.get(HEADER, "")


class Counting(Reads):
    """Which requests read from where a standby may answer, and what was committed when a token was drawn."""

    def __init__(self, primary: Database) -> None:
        super().__init__(primary)
        self.tokens: list[Token | None] = []
        self.jobs_when_drawn: list[int] = []

    async def run(self, work: Any, token: Token | None = None) -> Any:
        self.tokens.append(token)
        return await super().run(work, token)

    async def token(self) -> Token | None:
        count = "SELECT count(*) FROM jobs"
        self.jobs_when_drawn.append(await self._primary.run(lambda session: session.scalar(count)))
        return await super().token()


@pytest.fixture
def counting(any_database: Database) -> Counting:
    return Counting(any_database)


@pytest.fixture
def api(any_database: Database, any_dsn: str, counting: Counting) -> Iterator[ApiServer]:
    fill(any_database)
    server = ApiServer(any_database, any_dsn, reads=counting, probes_enabled=True)
    yield server
    server.stop()


CATALOG_PATHS = [
    f"{BASE}/sources",
    MODELS,
    f"{BASE}/labels",
    f"{BASE}/sources/house/models/group/model-07",
    f"{BASE}/sources/house/models/group/model-07/artifacts",
]


def test_reads_of_the_catalog_and_nothing_else_may_come_from_a_standby(api: ApiServer, counting: Counting) -> None:
    for path in ("/api/v1/jobs", "/api/v1/jobs/1", "/api/v1/cluster", "/api/v1/probes/x", "/readyz"):
        api.get(path)
    with urllib.request.urlopen(f"{api.url}/metrics", timeout=10):
        pass
    api.post("/api/v1/sources/house/refresh", b"")
    assert counting.tokens == []
    for path in CATALOG_PATHS:
        assert ask(api.url + path)[0] == 200
    assert counting.tokens == [None] * len(CATALOG_PATHS)


def test_a_token_is_read_and_a_malformed_one_refused_with_header_value_and_remedy(
    api: ApiServer, counting: Counting
) -> None:
    for path in CATALOG_PATHS:
        status, body, _ = ask(api.url + path, token="0/16B3748")
        assert (status, body["code"]) == (400, "400")
        for part in ("'0/16B3748'", HEADER, "leave the header out"):
            assert part in body["message"]
    assert len(ask(api.url + MODELS, token="x" * 5000)[1]["message"]) < 400
    assert counting.tokens == []
    for token in ("", "primary"):
        assert ask(api.url + MODELS, token=token)[0] == 200
    assert counting.tokens == [None, Token(None)]


def test_answers_to_writes_and_of_jobs_carry_a_token_where_there_can_be_a_standby(
    api: ApiServer, counting: Counting, any_database: Database
) -> None:
    refreshed = ask(f"{api.url}/api/v1/sources/house/refresh", method="POST")
    probed = ask(f"{api.url}/api/v1/probes", method="POST", body=b'{"value": "a"}')
    shown = ask(f"{api.url}/api/v1/jobs/{refreshed[1]['id']}")
    assert (refreshed[0], probed[0], shown[0]) == (202, 202, 200)
    tokens = [token for _, _, token in (refreshed, probed, shown)]
    if any_database.dialect.name == "sqlite":
        assert tokens == ["", "", ""]
        return
    for earlier, later in pairwise(Token.parse(token).position for token in tokens):
        assert earlier is not None
        assert later is not None
        assert later.includes(earlier)
    assert counting.jobs_when_drawn == [1, 2, 2]  # a token that is drawn before the commit does not stand for it
    for token in tokens:
        assert ask(api.url + MODELS, token=token)[0] == 200


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    pair = Pair(PostgresServer())
    yield pair
    pair.standby.stop()
    pair.primary.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a sources file of one source with twelve models."""
    folder = tmp_path_factory.mktemp("reads")
    (folder / "catalog.yaml").write_text(CATALOG)
    (folder / "sources.yaml").write_text(SOURCES)
    return folder


@pytest.fixture(scope="module")
def served(pair: Pair, folder: Path) -> Iterator[ReplicaProcess]:
    """A server that reads from the standby by now."""
    server = ReplicaProcess(
        "reader",
        pair.primary.dsn(),
        folder,
        sources_file=str(folder / "sources.yaml"),
        read_dsn=pair.standby.dsn(),
        read_staleness_seconds="1",
    )
    try:
        server.wait_until_ready()
        wait_until(lambda: reads_from(server, "standby"), what="a read from the standby")
        wait_until(lambda: len(models(server)) == 12, what="the catalog on the standby")
        yield server
    finally:
        server.kill()


def models(server: ReplicaProcess, token: str | None = None) -> list[str]:
    status, body, _ = ask(f"{server.url}{MODELS}?pageSize=100", token=token)
    assert status == 200, body
    return [model["name"] for model in body["items"]]


def counted(server: ReplicaProcess, where: str) -> float:
    with urllib.request.urlopen(f"{server.url}/metrics", timeout=5) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f'catalog_reads_total{{where="{where}"}}'))


def reads_from(server: ReplicaProcess, where: str) -> bool:
    before = counted(server, where)
    models(server)
    return counted(server, where) > before


def test_a_client_sees_what_its_refresh_has_read(pair: Pair, served: ReplicaProcess, folder: Path) -> None:
    pair.standby.execute("SELECT pg_wal_replay_pause()")
    (folder / "catalog.yaml").write_text(CATALOG.replace("model-00", "renamed"))
    _, job, token = ask(served.url + REFRESH, method="POST")

    def finished() -> str:
        _, shown, token = ask(f"{served.url}/api/v1/jobs/{job['id']}")
        return token if shown["state"] == "completed" else ""

    token = wait_until(finished, what="the refresh")
    assert "group/renamed" in models(served, token)
    pair.standby.execute("SELECT pg_wal_replay_resume()")
    wait_until(lambda: reads_from(served, "standby"), what="the standby's return")
    before = counted(served, "standby")
    wait_until(
        lambda: "group/renamed" in models(served, token) and counted(served, "standby") > before,
        what="the token to be satisfied by the standby",
    )


def test_no_request_fails_while_the_standby_is_killed(pair: Pair, served: ReplicaProcess) -> None:
    answers: list[int] = []
    ended = threading.Event()

    def client() -> None:
        while not ended.is_set():
            answers.append(ask(f"{served.url}{MODELS}")[0])

    clients = [threading.Thread(target=client) for _ in range(3)]
    for thread in clients:
        thread.start()
    try:
        wait_until(lambda: len(answers) > 20, what="some answers")
        pair.standby.crash()
        wait_until(lambda: reads_from(served, "primary"), what="a read from the primary")
        assert served.is_ready()  # a standby is no reason not to be
        pair.standby.start()
        wait_until(lambda: reads_from(served, "standby"), what="the standby's return")
    finally:
        ended.set()
        for thread in clients:
            thread.join(timeout=30)
    assert set(answers) == {200}


def test_a_server_that_stops_leaves_no_connection_to_the_standby(pair: Pair, served: ReplicaProcess) -> None:
    connections = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'catalog-server/reads'"
    assert pair.standby.execute(connections)
    assert served.stop() == 0
    wait_until(lambda: not pair.standby.execute(connections), what="the last connection's end")

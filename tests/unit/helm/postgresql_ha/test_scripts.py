"""What runs beside Patroni: the start, the hand-over before a stop, and the test of the release."""

import base64
import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any

import pytest

from unit.helm.postgresql_ha.scripts import script

MEMBERS = ["db-0", "db-1", "db-2"]


class Clock:
    """Time passes by sleeping alone."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def cluster(leader: str | None, members: list[str] = MEMBERS) -> dict[str, Any]:
    return {"members": [{"name": each, "role": "leader" if each == leader else "replica"} for each in members]}


class Api:
    """A member that knows who leads, and answers orders one after the other."""

    def __init__(
        self, *answers: tuple[int, str] | Exception, leader: str = "db-0", members: list[str] = MEMBERS
    ) -> None:
        self._answers = list(answers)
        self._cluster = cluster(leader, members)
        self.orders: list[tuple[str, str, Any]] = []

    def get(self, path: str) -> tuple[int, Any]:
        assert path == "/cluster"
        return 200, self._cluster

    def order(self, method: str, path: str, document: Any, *, timeout_seconds: float) -> tuple[int, str]:
        self.orders.append((method, path, document))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def hand_over() -> Iterator[ModuleType]:
    with script("hand_over") as module:
        yield module


def test_a_primary_that_stops_has_another_take_over(hand_over: ModuleType) -> None:
    api = Api((200, "Successfully switched over"))
    assert hand_over.hand_over(api, "db-0", 30, Clock()) == "Successfully switched over"
    assert api.orders == [("POST", "/switchover", {"leader": "db-0"})]


def test_a_replica_that_stops_hands_nothing_over(hand_over: ModuleType) -> None:
    api = Api((200, ""), leader="db-1")
    assert "not the primary" in hand_over.hand_over(api, "db-0", 30, Clock())
    assert api.orders == []


def test_a_single_member_does_not_wait_for_others(hand_over: ModuleType) -> None:
    clock = Clock()
    assert "only member" in hand_over.hand_over(Api((200, ""), members=["db-0"]), "db-0", 30, clock)
    assert clock.now == 100.0


def test_it_waits_until_a_replica_is_in_step_again(hand_over: ModuleType) -> None:
    clock = Clock()
    api = Api((412, "can not find sync_standby"), OSError("refused"), (200, "done"))
    assert hand_over.hand_over(api, "db-0", 30, clock) == "done"
    assert clock.now == 102.0


def test_a_stop_is_not_held_up_for_ever(hand_over: ModuleType) -> None:
    clock = Clock()
    answer = hand_over.hand_over(Api((412, "can not find sync_standby")), "db-0", 30, clock)
    assert "nobody took over in 30 s" in answer
    assert "can not find sync_standby" in answer
    assert clock.now == 130.0


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    with script("start") as module:
        folders = {"PASSWORDS": tmp_path / "passwords", "RUN": tmp_path / "run", "VOLUME": tmp_path / "volume"}
        for name, folder in folders.items():
            folder.mkdir()
            monkeypatch.setattr(module, name, folder)
        monkeypatch.setattr(module, "VERSION", tmp_path / "volume" / "pgdata" / "PG_VERSION")
        yield module


def give_passwords(start: ModuleType) -> None:
    for name in ("restapi", "replication", "rewind"):
        (start.PASSWORDS / f"{name}_password").write_text(f'"{name}": \\ \n')


def test_passwords_of_any_characters_reach_patroni(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    give_passwords(start)
    started: list[list[str]] = []
    monkeypatch.setattr(os, "execvp", lambda _, words: started.append(words))
    mask = os.umask(0o022)
    try:
        start.main()
    finally:
        os.umask(mask)
    assert started == [["patroni", str(start.RUN)]]
    file = start.RUN / "2-passwords.yaml"
    assert file.stat().st_mode & 0o077 == 0
    document = json.loads(file.read_text())
    assert document["restapi"]["authentication"] == {"username": "patroni", "password": '"restapi": \\ '}
    assert document["postgresql"]["authentication"]["rewind"] == {"password": '"rewind": \\ '}
    assert (start.RUN / "1-chart.yaml").readlink() == start.CONFIGURATION


def test_a_volume_of_root_s_is_refused_with_the_remedy(start: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "persistence.takeOwnership=true" in start.obstacle()


def test_data_of_another_version_are_refused_with_the_remedy(
    start: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    postgres = tmp_path / "postgres"
    postgres.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.20 (Debian 15.20-0)'\n")
    postgres.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    start.VERSION.parent.mkdir()
    start.VERSION.write_text("15\n")
    assert start.obstacle() is None
    start.VERSION.write_text("14\n")
    assert "PostgreSQL 15, the volume has data of 14" in start.obstacle()


def test_the_pooler_reads_a_password_of_any_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with script("start_pooler") as module:
        monkeypatch.setattr(module, "PASSWORD", tmp_path / "password")
        monkeypatch.setattr(module, "USERS", tmp_path / "userlist.txt")
        monkeypatch.setattr(os, "execvp", lambda *_: None)
        monkeypatch.setenv("DATABASE_OWNER", "catalog")
        (tmp_path / "password").write_text('a"b\n')
        mask = os.umask(0o022)
        try:
            module.main()
        finally:
            os.umask(mask)
        assert (tmp_path / "userlist.txt").read_text() == '"catalog" "a""b"\n'
        assert (tmp_path / "userlist.txt").stat().st_mode & 0o077 == 0


class Patroni(BaseHTTPRequestHandler):
    """Answers with what it was asked and by whom."""

    def do_GET(self) -> None:
        said = json.dumps({"path": self.path, "by": self.headers["Authorization"]}).encode()
        self._answer(503, "application/json", said)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(200, "text/html", body + (self.headers["Authorization"] or "").encode())

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_orders_come_with_the_password_and_reads_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Patroni)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with script("rest_api") as module:
            monkeypatch.setattr(module, "PORT", server.server_port)
            monkeypatch.setattr(module, "PASSWORD", tmp_path / "password")
            monkeypatch.setattr(module, "AUTHORITY", tmp_path / "none")
            api = module.RestApi("127.0.0.1")
            assert api.get("/replica?lag=1MB") == (503, {"path": "/replica?lag=1MB", "by": None})
            credentials = base64.b64encode(b"patroni:s3cret").decode()
            answer = api.order("POST", "/switchover", {"leader": "db-0"}, timeout_seconds=5)
            assert answer == (200, '{"leader": "db-0"}Basic ' + credentials)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Member:
    """What one member answers to the test of the release."""

    def __init__(self, cluster: dict[str, Any], replication: list[dict[str, str]], status: int = 200) -> None:
        self._answers = {"/cluster": (200, cluster), "/primary": (status, {"replication": replication})}

    def get(self, path: str) -> tuple[int, Any]:
        return self._answers[path]


def senders(*names: str, state: str = "streaming", in_step: str = "db-1") -> list[dict[str, str]]:
    return [
        {"application_name": each, "state": state, "sync_state": "sync" if each == in_step else "async"}
        for each in names
    ]


ALL = senders("db-1", "db-2")


@pytest.mark.parametrize(
    ("known", "replication", "status", "problem"),
    [
        (cluster("db-0"), ALL, 200, None),
        (cluster(None), ALL, 200, "0 members are primary"),
        (cluster("db-0", MEMBERS[:2]), ALL, 200, "members are db-0, db-1, not db-0, db-1, db-2"),
        (cluster("db-0"), ALL, 503, "db-0 has the lock and is not the primary"),
        (cluster("db-0"), senders("db-1"), 200, "not streaming from db-0: db-2"),
        (cluster("db-0"), senders("db-1", "db-2", state="catchup"), 200, "not streaming from db-0: db-1, db-2"),
        (cluster("db-0"), senders("db-1", "db-2", in_step="nobody"), 200, "0 replicas are in step, not 1"),
    ],
)
def test_the_release_is_right_with_one_primary_and_all_others_streaming(
    known: dict[str, Any], replication: list[dict[str, str]], status: int, problem: str | None
) -> None:
    with script("acceptance") as acceptance:
        found = acceptance.amiss(dict.fromkeys(MEMBERS, Member(known, replication, status)), 1)
        assert found == problem if problem is None else problem in found

"""Probes: accepted once, with one effect, over HTTP and through the queue."""

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from catalog_server.db import Database
from catalog_server.jobs import Queue, StaleClaim
from catalog_server.probes import ProbeHandler, accept, get
from integration.api import ApiServer

PROBES = "/api/v1/probes"


@pytest.fixture
def api(any_database: Database, any_dsn: str) -> Iterator[ApiServer]:
    server = ApiServer(any_database, any_dsn, probes_enabled=True)
    yield server
    server.stop()


def body(value: object) -> bytes:
    return json.dumps({"value": value}).encode()


def test_a_value_is_accepted_with_a_job_and_shown(api: ApiServer) -> None:
    status, job = api.post(PROBES, body("a/b ä"))
    assert (status, job["kind"], job["payload"], job["state"]) == (202, "probe", {"value": "a/b ä"}, "available")
    status, probe = api.get(f"{PROBES}/a%2Fb%20%C3%A4")
    assert (status, probe["value"], probe["effects"]) == (200, "a/b ä", [])


def test_of_many_who_send_one_value_at_once_one_is_accepted(api: ApiServer) -> None:
    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda _: api.post(PROBES, body("once")), range(8)))
    assert sorted(status for status, _ in answers) == [202] + [409] * 7
    assert len(api.get("/api/v1/jobs", kind="probe")[1]["items"]) == 1


@pytest.mark.parametrize("sent", [b"", b"no", b"[]", b"{}", body(7), body(""), body("x" * 201), body("a\0b")])
def test_a_body_that_is_no_probe_is_refused_with_what_is_allowed(api: ApiServer, sent: bytes) -> None:
    status, error = api.post(PROBES, sent)
    assert status == 400
    assert "body" in error["message"]


@pytest.mark.parametrize("value", ["none", "a%00b"])
def test_an_unknown_value_is_404(api: ApiServer, value: str) -> None:
    assert api.get(f"{PROBES}/{value}")[0] == 404


def test_probes_are_off_unless_enabled(any_database: Database, any_dsn: str) -> None:
    server = ApiServer(any_database, any_dsn)
    try:
        status, error = server.post(PROBES, body("a"))
        assert status == 404
        assert "probes_enabled" in error["message"]
        assert server.get(f"{PROBES}/a")[0] == 404
    finally:
        server.stop()


def test_an_effect_is_undone_with_a_completion_that_is_refused(any_database: Database) -> None:
    """And a repeated one shows as a second row: nothing hides it."""
    queue, handler = Queue(), ProbeHandler()
    with any_database.session() as session:
        with session.transaction():
            assert accept(session, queue, "v", max_attempts=3)
            (claim,) = queue.claim(session, ["probe"], worker_id="w", limit=1, lease_seconds=60)
        effect = asyncio.run(handler.run(claim.job))

        def finish() -> None:
            with session.transaction():
                effect(session)
                queue.complete_one(session, claim)

        finish()
        with pytest.raises(StaleClaim):
            finish()
        probe = get(session, "v")
        assert probe is not None
        assert [(found.job_id, found.token, found.worker_id) for found in probe.effects] == [
            (claim.job.id, claim.token, "w")
        ]

"""Refreshes and jobs over HTTP, and on the command line."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest
from click.testing import CliRunner, Result

from catalog_server.cli.sources import sources
from catalog_server.db import Database
from catalog_server.jobs import Queue
from integration.api import ApiServer
from integration.test_api_client import fill

REFRESH = "/api/v1/sources/house/refresh"


@pytest.fixture
def api(any_database: Database, any_dsn: str) -> Iterator[ApiServer]:
    fill(any_database)
    server = ApiServer(any_database, any_dsn)
    yield server
    server.stop()


def finish(database: Database, *, worker_id: str = "w") -> None:
    """What a worker does with the next job, without its effect."""
    with database.session() as session, session.transaction():
        (claim,) = Queue().claim(session, ["refresh"], worker_id=worker_id, limit=1, lease_seconds=60)
        Queue().complete_one(session, claim)


def test_a_refresh_answers_with_the_job_and_a_second_one_with_the_same(api: ApiServer, any_database: Database) -> None:
    status, job = api.request("POST", REFRESH)
    assert status == 202
    assert (job["kind"], job["state"], job["payload"], job["dedupeKey"]) == (
        "refresh",
        "available",
        {"source_id": "house"},
        "house",
    )
    assert (job["attempt"], job["maxAttempts"], job["claim"], job["finishedAt"]) == (0, 8, None, None)
    assert datetime.fromisoformat(job["runAt"]).tzinfo
    assert api.request("POST", REFRESH)[1]["id"] == job["id"]
    finish(any_database)
    assert api.request("POST", REFRESH)[1]["id"] != job["id"]


@pytest.mark.parametrize("source_id", ["none", "closed", "a%00b"])
def test_a_refresh_of_what_is_not_enabled_is_404(api: ApiServer, source_id: str) -> None:
    status, body = api.request("POST", f"/api/v1/sources/{source_id}/refresh")
    assert (status, body["code"]) == (404, "404")


def test_a_job_is_shown_with_its_claim_and_then_with_its_attempts(api: ApiServer, any_database: Database) -> None:
    job_id = api.request("POST", REFRESH)[1]["id"]
    with any_database.session() as session, session.transaction():
        (claim,) = Queue().claim(session, ["refresh"], worker_id="w", limit=1, lease_seconds=60)
    _, running = api.get(f"/api/v1/jobs/{job_id}")
    assert running["claim"]["workerId"] == "w"
    assert running["claim"]["token"] == claim.token
    assert datetime.fromisoformat(running["claim"]["expiresAt"]) > datetime.fromisoformat(running["claim"]["claimedAt"])
    assert running["attempts"] == []
    with any_database.session() as session, session.transaction():
        Queue().fail(session, claim, "broken", pause_seconds=0)
    finish(any_database)
    _, finished = api.get(f"/api/v1/jobs/{job_id}")
    assert (finished["state"], finished["claim"]) == ("completed", None)
    assert [(each["attempt"], each["outcome"], each["error"]) for each in finished["attempts"]] == [
        (1, "failed", "broken"),
        (2, "completed", None),
    ]


def test_jobs_are_listed_newest_first_in_pages_and_by_state(api: ApiServer, any_database: Database) -> None:
    with any_database.session() as session, session.transaction():
        for number in range(5):
            Queue().enqueue(session, "refresh" if number else "other", {"n": number})
    finish(any_database)
    walked = [job["id"] for page in api.walk("/api/v1/jobs", pageSize=2) for job in page["items"]]
    assert len(walked) == 5
    assert walked == sorted(walked, key=int, reverse=True)
    assert api.get("/api/v1/jobs", state="COMPLETED")[1]["size"] == 1
    assert api.get("/api/v1/jobs", kind="other")[1]["size"] == 1
    status, body = api.get("/api/v1/jobs", state="lost")
    assert status == 400
    assert "available, running, completed, dead, cancelled" in body["message"]


@pytest.mark.parametrize("job_id", ["999999", "0", "-1", "x", "9" * 19, "9" * 30, "1.0", "%00"])
def test_a_job_that_is_not_there_is_404(api: ApiServer, job_id: str) -> None:
    assert api.get(f"/api/v1/jobs/{job_id}")[0] == 404


@pytest.fixture
def run(any_database: Database, any_dsn: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    fill(any_database)
    monkeypatch.setenv("CATALOG_DATABASE_DSN", any_dsn)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(sources, arguments)

    return run


def test_the_command_line_lists_sources(run: Callable[..., Result]) -> None:
    listed = json.loads(run("list", "--json").stdout)
    assert {(source["id"], source["status"], source["models"]) for source in listed} == {
        ("house", "available", 23),
        ("open", "available", 2),
        ("closed", "disabled", 0),
    }
    assert "partially" not in run("list").stdout


def test_the_command_line_enqueues_a_refresh_of_every_enabled_source(run: Callable[..., Result]) -> None:
    queued = json.loads(run("refresh", "--json").stdout)
    assert [(entry["source"], entry["state"]) for entry in queued] == [("house", "available"), ("open", "available")]
    again = json.loads(run("refresh", "house", "--json").stdout)
    assert again == queued[:1]


def test_the_command_line_names_what_there_is_instead_of_an_unknown_source(run: Callable[..., Result]) -> None:
    result = run("refresh", "closed")
    assert result.exit_code == 1
    assert "There are: house, open" in result.stderr


def test_waiting_without_a_replica_ends_and_says_so(run: Callable[..., Result]) -> None:
    result = run("refresh", "house", "--wait", "--timeout", "0", "--json")
    assert result.exit_code == 1
    assert "Is a replica running?" in result.stderr
    assert json.loads(result.stdout)[0]["state"] == "available"

"""catalog-server jobs, as a person at a terminal uses it."""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from click.testing import CliRunner, Result

from catalog_server.cli.jobs import jobs
from catalog_server.db import Database
from catalog_server.jobs import Job, Queue

queue = Queue()
Run = Callable[..., Result]


@pytest.fixture
def run(any_dsn: str) -> Run:
    def run(*arguments: object) -> Result:
        environment = {"CATALOG_DATABASE_DSN": any_dsn, "CATALOG_JOBS_MAX_ATTEMPTS": "5"}
        return CliRunner().invoke(jobs, [str(argument) for argument in arguments], env=environment)

    return run


def document(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def add_job(database: Database, **options: Any) -> Job:
    with database.session() as session:
        return queue.enqueue(session, "refresh", {"source_id": "house"}, **options)[0]


def add_dead_letter(database: Database, **options: Any) -> Job:
    job = add_job(database, max_attempts=1, **options)
    with database.session() as session:
        (claim,) = queue.claim(session, ["refresh"], worker_id="w", limit=1, lease_seconds=60)
        queue.fail(session, claim, "ValueError: boom", pause_seconds=0)
    return job


def test_jobs_are_listed_newest_first(run: Run, any_database: Database) -> None:
    assert run("list").stdout == "There are no such jobs.\n"
    assert document(run("list", "--json")) == []
    dead, live = add_dead_letter(any_database), add_job(any_database, dedupe_key="house")
    lines = run("list").stdout.splitlines()
    assert lines[0].split() == [
        *("id", "kind", "state", "attempt", "dedupe_key", "run_at", "finished_at", "last_error"),
    ]
    assert lines[2].split()[:5] == [str(live.id), "refresh", "available", "0", "house"]
    assert lines[3].split()[:3] == [str(dead.id), "refresh", "dead"]
    assert "ValueError: boom" in lines[3]
    assert [job["id"] for job in document(run("list", "--json"))] == [live.id, dead.id]


def test_the_list_can_be_narrowed(run: Run, any_database: Database) -> None:
    dead, live = add_dead_letter(any_database), add_job(any_database)
    assert [job["id"] for job in document(run("list", "--state", "dead", "--json"))] == [dead.id]
    assert [job["id"] for job in document(run("list", "--limit", 1, "--json"))] == [live.id]
    assert document(run("list", "--kind", "other", "--json")) == []
    assert run("list", "--state", "lost").exit_code == 2
    assert run("list", "--limit", 0).exit_code == 2


def test_a_job_is_shown_with_its_history(run: Run, any_database: Database) -> None:
    job = add_dead_letter(any_database)
    shown = document(run("show", job.id, "--json"))
    assert (shown["state"], shown["payload"], shown["last_error"]) == (
        "dead",
        {"source_id": "house"},
        "ValueError: boom",
    )
    assert datetime.fromisoformat(shown["created_at"]) == job.created_at
    (attempt,) = shown["attempts"]
    assert (attempt["attempt"], attempt["worker_id"], attempt["outcome"]) == (1, "w", "failed")
    text = run("show", job.id).stdout
    assert 'payload           {"source_id": "house"}' in text
    assert "outcome" in text.splitlines()[-3]


def test_a_dead_letter_is_retried_for_as_many_attempts_as_the_settings_say(run: Run, any_database: Database) -> None:
    job = add_dead_letter(any_database)
    assert run("retry", job.id).stdout == f"job {job.id} is available\n"
    shown = document(run("show", job.id, "--json"))
    assert (shown["attempt"], shown["max_attempts"]) == (1, 1 + 5)
    refused = run("retry", job.id)
    assert refused.exit_code == 1
    assert "it is not dead or cancelled, or a job with its key is live" in refused.stderr
    assert f"catalog-server jobs show {job.id}" in refused.stderr


def test_a_live_job_is_cancelled_and_can_be_retried(run: Run, any_database: Database) -> None:
    job = add_job(any_database)
    assert document(run("cancel", job.id, "--json"))["state"] == "cancelled"
    refused = run("cancel", job.id)
    assert (refused.exit_code, "it is not available or running" in refused.stderr) == (1, True)
    assert document(run("retry", job.id, "--json"))["state"] == "available"


@pytest.mark.parametrize("command", ["show", "retry", "cancel"])
def test_a_job_that_does_not_exist_is_said_so(run: Run, command: str) -> None:
    result = run(command, 404)
    assert result.exit_code == 1
    assert result.stderr == "Error: there is no job 404. See: catalog-server jobs list\n"


def test_a_database_without_a_schema_is_told_with_its_remedy(empty_dsn: str) -> None:
    result = CliRunner().invoke(jobs, ["list"], env={"CATALOG_DATABASE_DSN": empty_dsn})
    assert result.exit_code == 1
    assert "catalog-server db status" in result.stderr

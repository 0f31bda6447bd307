"""catalog-server jobs"""

import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

import click
from tabulate import tabulate

from catalog_server.cli.session import database_session
from catalog_server.db import Session
from catalog_server.jobs import STATES, Job, Queue


@click.group()
def jobs() -> None:
    """Look at jobs, run dead ones again, cancel live ones."""


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@jobs.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only jobs in this state.")
@click.option("--kind", help="Only jobs of this kind.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@as_json_option
def list_jobs(state: Any, kind: str | None, limit: int, as_json: bool) -> None:
    """List jobs, newest first."""
    with database_session() as (session, _):
        found = Queue().page(session, state=state, kind=kind, limit=limit)
    if as_json:
        click.echo(_dump([asdict(job) for job in found]))
        return
    columns = ("id", "kind", "state", "attempt", "dedupe_key", "run_at", "finished_at", "last_error")
    rows = [[_short(getattr(job, column)) for column in columns] for job in found]
    click.echo(tabulate(rows, headers=columns) if rows else "There are no such jobs.")


@jobs.command()
@click.argument("job_id", type=int)
@as_json_option
def show(job_id: int, as_json: bool) -> None:
    """Show one job with its execution history."""
    with database_session() as (session, _):
        job = _find(session, job_id)
        attempts = Queue().attempts(session, job_id)
    document = asdict(job) | {"attempts": [asdict(attempt) for attempt in attempts]}
    if as_json:
        click.echo(_dump(document))
        return
    click.echo(tabulate([(name, _text(value)) for name, value in asdict(job).items()], tablefmt="plain"))
    if attempts:
        click.echo("\n" + tabulate([asdict(attempt) for attempt in attempts], headers="keys"))


@jobs.command()
@click.argument("job_id", type=int)
@as_json_option
def retry(job_id: int, as_json: bool) -> None:
    """Run a dead or cancelled job again."""
    with database_session() as (session, settings):
        _find(session, job_id)
        job = Queue().retry(session, job_id, attempts=settings.jobs_max_attempts)
    _say(job, job_id, as_json, "it is not dead or cancelled, or a job with its key is live")


@jobs.command()
@click.argument("job_id", type=int)
@as_json_option
def cancel(job_id: int, as_json: bool) -> None:
    """Cancel a job; one that is running loses its claim, and its effect is not committed."""
    with database_session() as (session, _):
        _find(session, job_id)
        job = Queue().cancel(session, job_id)
    _say(job, job_id, as_json, "it is not available or running")


def _find(session: Session, job_id: int) -> Job:
    job = Queue().get(session, job_id)
    if job is None:
        raise click.ClickException(f"there is no job {job_id}. See: catalog-server jobs list")
    return job


def _say(job: Job | None, job_id: int, as_json: bool, refusal: str) -> None:
    if job is None:
        raise click.ClickException(f"job {job_id}: {refusal}. See: catalog-server jobs show {job_id}")
    click.echo(_dump(asdict(job)) if as_json else f"job {job.id} is {job.state}")


def _dump(document: Any) -> str:
    return json.dumps(document, indent=2, default=datetime.isoformat)


def _text(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else "" if value is None else str(value)


def _short(value: Any) -> str:
    text = _text(value)
    return text if len(text) <= 50 else text[:49] + "…"

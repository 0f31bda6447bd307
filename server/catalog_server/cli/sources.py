"""catalog-server sources"""

import json
import time
from typing import Any

import click
from tabulate import tabulate

from catalog_server.catalog import queries, store
from catalog_server.catalog.queries import Listing
from catalog_server.catalog.refresh import enqueue_refresh
from catalog_server.cli.session import database_session
from catalog_server.db import Session
from catalog_server.jobs import Job, Queue

POLL_SECONDS = 0.5
MAX_SOURCES = 10_000
LIVE_STATES = ("available", "running")


@click.group()
def sources() -> None:
    """Look at the sources of the catalog and refresh them."""


@sources.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_sources(as_json: bool) -> None:
    """List the sources with their state."""
    with database_session() as (session, _):
        found = _sources(session)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        shown = [source | {"labels": ", ".join(source["labels"])} for source in found]
        click.echo(tabulate(shown, headers="keys"))
    else:
        click.echo("There are no sources. Name a sources file by CATALOG_SOURCES_FILE, on every replica.")


@sources.command()
@click.argument("source_ids", nargs=-1, metavar="[ID]...")
@click.option("--wait", is_flag=True, help="Wait until they were read; exit 1 if one is in error then.")
@click.option("--timeout", "timeout_seconds", default=60.0, show_default=True, help="Seconds to wait.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def refresh(source_ids: tuple[str, ...], wait: bool, timeout_seconds: float, as_json: bool) -> None:
    """Read sources again: those named, or all that are enabled. The running replicas do the work."""
    jobs = _enqueue(source_ids)
    if wait:
        jobs = _wait(jobs, timeout_seconds)
    found: list[dict[str, Any]] = [
        {"source": source_id, "job": job.id, "state": job.state} for source_id, job in jobs.items()
    ]
    if wait:
        with database_session() as (session, _):
            sources_now = {source["id"]: source for source in _sources(session)}
        for entry in found:
            entry |= {name: sources_now[entry["source"]][name] for name in ("status", "models", "error")}
    click.echo(json.dumps(found, indent=2) if as_json else tabulate(found, headers="keys"))
    if wait and any(entry["state"] != "completed" or entry["status"] == store.ERROR for entry in found):
        raise SystemExit(1)


def _enqueue(source_ids: tuple[str, ...]) -> dict[str, Job]:
    """The job of each source; refuses ids that no enabled source has before anything is enqueued."""
    with database_session() as (session, settings):
        enabled = [source["id"] for source in _sources(session) if source["status"] != store.DISABLED]
        unknown = [source_id for source_id in source_ids if source_id not in enabled]
        if unknown:
            known = ", ".join(enabled) or "none"
            raise click.ClickException(f"no enabled source {', '.join(unknown)}. There are: {known}")
        with session.transaction():
            return {
                source_id: enqueue_refresh(session, Queue(), source_id, max_attempts=settings.jobs_max_attempts)
                for source_id in source_ids or enabled
            }


def _wait(jobs: dict[str, Job], timeout_seconds: float) -> dict[str, Job]:
    """The jobs as they ended, or as they are when the time is up."""
    give_up_at = time.monotonic() + timeout_seconds
    while True:
        with database_session() as (session, _):
            jobs = {source_id: Queue().get(session, job.id) or job for source_id, job in jobs.items()}
        if not any(job.state in LIVE_STATES for job in jobs.values()):
            return jobs
        if time.monotonic() > give_up_at:
            click.echo(f"Not finished within {timeout_seconds:g} s. Is a replica running?", err=True)
            return jobs
        time.sleep(POLL_SECONDS)


def _sources(session: Session) -> list[dict[str, Any]]:
    rows = queries.sources(session, Listing("ID", False, MAX_SOURCES), asset_type=None, name="")
    models = store.models_by_source(session)
    return [
        {
            "id": row.id,
            "name": row.name,
            "status": row.status,
            "models": models.get(row.id, 0) if row.enabled else 0,
            "labels": row.labels,
            "error": row.error,
        }
        for row in rows
    ]

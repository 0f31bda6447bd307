"""Jobs under /api/v1: ask for a refresh, list jobs, look at one with its attempts."""

from datetime import datetime
from typing import Any

from aiohttp import web

from catalog_server.catalog import store
from catalog_server.catalog.refresh import enqueue_refresh
from catalog_server.db import Session
from catalog_server.db.models import is_storable
from catalog_server.http.consistency import token_header
from catalog_server.http.context import services
from catalog_server.http.errors import NotFound
from catalog_server.http.paging import MAX_BIGINT, one_of, requested_page, single
from catalog_server.jobs import STATES, Attempt, Job

BASE_PATH = "/api/v1"


def routes() -> list[web.RouteDef]:
    return [
        web.post(f"{BASE_PATH}/sources/{{source_id}}/refresh", refresh_source),
        web.get(f"{BASE_PATH}/jobs", list_jobs),
        web.get(f"{BASE_PATH}/jobs/{{id}}", show_job),
    ]


async def refresh_source(request: web.Request) -> web.Response:
    current = services(request)
    source_id = request.match_info["source_id"]

    def enqueue(session: Session) -> Job | None:
        if not is_storable(source_id) or store.source_state(session, source_id) is None:
            return None
        return enqueue_refresh(session, current.queue, source_id, max_attempts=current.settings.jobs_max_attempts)

    job = await current.database.transaction(enqueue)
    if job is None:
        raise NotFound(f"there is no enabled source {source_id!a}")
    headers = {"Location": f"{BASE_PATH}/jobs/{job.id}"} | await token_header(current)
    return web.json_response(job_document(job), status=202, headers=headers)


async def list_jobs(request: web.Request) -> web.Response:
    current = services(request)
    state, kind = one_of(request, "state", STATES), single(request, "kind") or None
    page = requested_page(request, state, kind, key_types=(int,))
    before_id = page.position[0] if page.position else None
    found = await current.database.run(
        lambda session: current.queue.page(session, state=state, kind=kind, before_id=before_id, limit=page.size + 1)
    )
    shown = found[: page.size]
    return web.json_response(
        {
            "items": [job_document(job) for job in shown],
            "nextPageToken": page.token_after((shown[-1].id,)) if len(found) > page.size else "",
            "pageSize": page.size,
            "size": len(shown),
        }
    )


async def show_job(request: web.Request) -> web.Response:
    current = services(request)
    text = request.match_info["id"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= MAX_BIGINT):
        raise NotFound(f"there is no job {text!a}")

    def read(session: Session) -> tuple[Job | None, list[Attempt]]:
        return current.queue.get(session, int(text)), current.queue.attempts(session, int(text))

    job, attempts = await current.database.run(read)
    if job is None:
        raise NotFound(f"there is no job {text}; finished ones are kept for a while only")
    document = job_document(job) | {"attempts": [_attempt(each) for each in attempts]}
    return web.json_response(document, headers=await token_header(current))


def job_document(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "kind": job.kind,
        "state": job.state,
        "payload": job.payload,
        "attempt": job.attempt,
        "maxAttempts": job.max_attempts,
        "priority": job.priority,
        "dedupeKey": job.dedupe_key,
        "runAt": _time(job.run_at),
        "createdAt": _time(job.created_at),
        "finishedAt": _time(job.finished_at),
        "lastError": job.last_error,
        "claim": _claim(job),
    }


def _claim(job: Job) -> dict[str, Any] | None:
    if job.state != "running":
        return None
    return {
        "token": job.claim_token,
        "workerId": job.worker_id,
        "claimedAt": _time(job.claimed_at),
        "expiresAt": _time(job.claim_expires_at),
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return {
        "token": attempt.token,
        "attempt": attempt.attempt,
        "workerId": attempt.worker_id,
        "outcome": attempt.outcome,
        "claimedAt": _time(attempt.claimed_at),
        "finishedAt": _time(attempt.finished_at),
        "error": attempt.error,
    }


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="milliseconds")

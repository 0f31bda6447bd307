"""Probes under /api/v1, for verification from outside: accept a value, show what became of it."""

import json
from typing import Any

from aiohttp import web

from catalog_server import probes
from catalog_server.db.models import is_storable
from catalog_server.http.consistency import token_header
from catalog_server.http.context import Services, services
from catalog_server.http.errors import BadRequest, NotFound
from catalog_server.http.jobs import BASE_PATH, job_document


def routes() -> list[web.RouteDef]:
    return [
        web.post(f"{BASE_PATH}/probes", accept),
        web.get(f"{BASE_PATH}/probes/{{value}}", show),
    ]


async def accept(request: web.Request) -> web.Response:
    current = _services(request)
    value = _value(await request.text())
    job = await current.database.transaction(
        lambda session: probes.accept(session, current.queue, value, max_attempts=current.settings.jobs_max_attempts)
    )
    if job is None:
        raise web.HTTPConflict(reason=f"the value {value!a} was accepted before; send another")
    headers = {"Location": f"{BASE_PATH}/jobs/{job.id}"} | await token_header(current)
    return web.json_response(job_document(job), status=202, headers=headers)


async def show(request: web.Request) -> web.Response:
    current = _services(request)
    value = request.match_info["value"]
    probe = await current.database.run(lambda session: probes.get(session, value)) if is_storable(value) else None
    if probe is None:
        raise NotFound(f"there is no probe {value!a}; old ones are removed with finished jobs")
    return web.json_response(_document(probe))


def _services(request: web.Request) -> Services:
    current = services(request)
    if not current.settings.probes_enabled:
        raise NotFound("probes are not enabled; set probes_enabled to verify this deployment with them")
    return current


def _value(body: str) -> str:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    value = document.get("value") if isinstance(document, dict) else None
    if not isinstance(value, str) or not 1 <= len(value) <= probes.MAX_VALUE_CHARACTERS or not is_storable(value):
        raise BadRequest(
            f'invalid body: allowed is {{"value": text}} with 1 to {probes.MAX_VALUE_CHARACTERS} characters'
        )
    return value


def _document(probe: probes.Probe) -> dict[str, Any]:
    return {
        "value": probe.value,
        "createdAt": probe.created_at.isoformat(timespec="milliseconds"),
        "effects": [
            {
                "jobId": str(effect.job_id),
                "token": effect.token,
                "workerId": effect.worker_id,
                "at": effect.at.isoformat(timespec="milliseconds"),
            }
            for effect in probe.effects
        ],
    }

"""What happens around every request: its id, its metrics, its log line, its token."""

import logging
import re
import time
from uuid import uuid4

import jwt
from aiohttp import web
from aiohttp.typedefs import Handler

from catalog_server.http.context import IN_FLIGHT, services
from catalog_server.observability import metrics
from catalog_server.observability.logs import log_context

log = logging.getLogger("catalog_server.access")

REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_READS = frozenset({"GET", "HEAD", "OPTIONS"})


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Counts, times and logs the request under the id it came with, or a new one."""
    request_id = request.headers.get(REQUEST_ID_HEADER, "")
    if not _REQUEST_ID.fullmatch(request_id):
        request_id = uuid4().hex
    started = time.perf_counter()
    status = 500
    with request.app[IN_FLIGHT], log_context(request_id=request_id), metrics.HTTP_IN_FLIGHT.track_inprogress():
        try:
            response = await handler(request)
            status = response.status
        finally:
            seconds = time.perf_counter() - started
            route = _route(request)
            metrics.HTTP_REQUESTS.labels(request.method, route, status).inc()
            metrics.HTTP_LATENCY.labels(request.method, route).observe(seconds)
            level = logging.INFO if status >= 400 or request.method not in _READS else logging.DEBUG
            if log.isEnabledFor(level):
                fields = {
                    "method": request.method,
                    "path": request.path,
                    "status": status,
                    "seconds": round(seconds, 6),
                }
                log.log(level, "request", extra=fields)
    response.headers[REQUEST_ID_HEADER] = request_id
    if request.app[IN_FLIGHT].draining:
        response.force_close()  # so that a load balancer does not send another request on this connection
    return response


@web.middleware
async def authorize(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Asks writes (and reads, if so configured) of the API for a bearer token signed with the shared secret."""
    if request.path.startswith("/api/"):
        settings = services(request).settings
        if settings.auth_secret is not None and (request.method not in _READS or settings.auth_reads):
            _check_token(request, settings.auth_secret.get_secret_value())
    return await handler(request)


def _check_token(request: web.Request, secret: str) -> None:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _unauthorized("this request needs an Authorization header: Bearer <token>")
    try:
        # When it was issued is not looked at: a replica whose clock is behind would refuse what another has signed.
        jwt.decode(token.strip(), secret, algorithms=["HS256"], options={"require": ["exp"], "verify_iat": False})
    except jwt.PyJWTError as error:
        raise _unauthorized(f"the token was refused: {error}") from error


def _unauthorized(reason: str) -> web.HTTPUnauthorized:
    return web.HTTPUnauthorized(reason=reason, headers={"WWW-Authenticate": 'Bearer realm="catalog-server"'})


def _route(request: web.Request) -> str:
    """The route's pattern, never the path: the number of label values stays bounded."""
    resource = request.match_info.route.resource
    return resource.canonical if resource is not None else "unmatched"

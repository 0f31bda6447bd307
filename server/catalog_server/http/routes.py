"""Which path is answered by whom."""

from aiohttp import web

from catalog_server.http import catalog, cluster, documentation, health, jobs, metrics, probes
from catalog_server.http.errors import errors
from catalog_server.http.middlewares import authorize, observe

# A write has no body beyond a few fields; a catalog is read from its source, never uploaded.
MAX_BODY_BYTES = 64 * 1024


def make_application() -> web.Application:
    """The aiohttp application without its context (see `http.context`)."""
    application = web.Application(middlewares=[observe, errors, authorize], client_max_size=MAX_BODY_BYTES)
    for room in (catalog, cluster, documentation, health, jobs, metrics, probes):
        application.add_routes(room.routes())
    return application

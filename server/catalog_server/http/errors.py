"""One shape for every error: {"code": "404", "message": "..."}."""

import logging
from collections.abc import Mapping

from aiohttp import web
from aiohttp.typedefs import Handler

from catalog_server.db import DatabaseUnavailable
from catalog_server.http.context import NotReady

log = logging.getLogger(__name__)

RETRY_AFTER = {"Retry-After": "1"}  # seconds; another replica, or this one, is likely to answer by then


class BadRequest(Exception):
    """The request can not be understood; the message says what is allowed instead."""


class NotFound(Exception):
    """What the request names does not exist, or is not served."""


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns what a handler raises into the answer the client can act upon."""
    try:
        return await handler(request)
    except BadRequest as error:
        return error_response(400, str(error))
    except NotFound as error:
        return error_response(404, str(error))
    except (NotReady, DatabaseUnavailable) as error:
        log.warning("not served: %s", error)
        message = str(error) if isinstance(error, NotReady) else "the database is unavailable; try again"
        return error_response(503, message, RETRY_AFTER)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        kept = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
        return error_response(error.status, error.reason, kept)
    except Exception:
        log.exception("a request failed")
        return error_response(500, "internal error; the log has the details under this request's id")


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The error body of the catalog API; `code` repeats the status as text."""
    return web.json_response({"code": str(status), "message": message}, status=status, headers=headers)

"""The header by which a client reads its own writes."""

from aiohttp import web

from catalog_server.http.context import Services
from catalog_server.http.errors import BadRequest
from catalog_server.reads import MalformedToken, Token

TOKEN_HEADER = "X-Consistency-Token"  # noqa: S105  (no secret: a place in the database's log)


def requested_token(request: web.Request) -> Token | None:
    """What the request wants to see at least; None: any recent state. Raises `BadRequest`."""
    text = request.headers.get(TOKEN_HEADER, "")
    if not text:
        return None
    try:
        return Token.parse(text)
    except MalformedToken as error:
        shown = text if len(text) <= 80 else f"{text[:80]}..."
        raise BadRequest(
            f"invalid value {shown!a} for header {TOKEN_HEADER}: allowed is what an answer of this service had in it; "
            "leave the header out where any recent state will do"
        ) from error


async def token_header(current: Services) -> dict[str, str]:
    """For the answer to a request that wrote, or looked at what was written: a token of all that is committed now."""
    token = await current.reads.token()
    return {} if token is None else {TOKEN_HEADER: str(token)}

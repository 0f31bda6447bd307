"""What a handler may use of the replica it runs in."""

from dataclasses import dataclass

from aiohttp import web

from catalog_server.config import Settings
from catalog_server.db import Database
from catalog_server.http.in_flight import InFlight
from catalog_server.jobs import Queue
from catalog_server.reads import Reads


@dataclass(frozen=True)
class Services:
    """The parts of one runtime that requests are served with.

    `database` is the pool for requests, on the primary. `reads` is for the catalog alone, since it may answer from a
    standby.
    """

    settings: Settings
    database: Database
    queue: Queue
    reads: Reads


@dataclass
class ServicesHolder:
    """The current services: none until a valid configuration is at work, others after a reload."""

    current: Services | None = None


class NotReady(Exception):
    """The replica has no valid configuration to serve with; /readyz says why."""


SERVICES: web.AppKey[ServicesHolder] = web.AppKey("services", ServicesHolder)
IN_FLIGHT: web.AppKey[InFlight] = web.AppKey("in flight", InFlight)


def services(request: web.Request) -> Services:
    """The services of this moment; raises `NotReady` if there are none."""
    current = request.app[SERVICES].current
    if current is None:
        raise NotReady("this replica is not ready; /readyz says why")
    return current

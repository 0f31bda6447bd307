"""/metrics in the text format of Prometheus."""

import asyncio
import logging

from aiohttp import web
from prometheus_client import REGISTRY
from prometheus_client.exposition import choose_encoder

from catalog_server.http.context import SERVICES
from catalog_server.observability import metrics

log = logging.getLogger(__name__)

# A scrape is answered even if the database is not; the shared gauges then keep their last value.
COUNT_DEADLINE_SECONDS = 1.0


def routes() -> list[web.RouteDef]:
    return [web.get("/metrics", scrape)]


async def scrape(request: web.Request) -> web.Response:
    current = request.app[SERVICES].current
    if current is not None:
        try:
            counts = await current.database.run(current.queue.counts, deadline_seconds=COUNT_DEADLINE_SECONDS)
        except Exception as error:
            log.warning("jobs could not be counted for /metrics: %s", error)
        else:
            for state, count in counts.items():
                metrics.JOBS.labels(state).set(count)
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    body = await asyncio.to_thread(encode, REGISTRY)
    return web.Response(body=body, headers={"Content-Type": content_type})

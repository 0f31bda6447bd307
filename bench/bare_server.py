"""What the API is compared with: an aiohttp handler that makes the same SQL call and does nothing else."""

import os

from aiohttp import web

from catalog_server.catalog import queries
from catalog_server.catalog.queries import Listing
from catalog_server.db import Database, Session


def main() -> None:
    database = Database(os.environ["BENCH_DSN"], purpose="bare", size=4, deadline_seconds=5, connect_timeout_seconds=2)

    def read(session: Session) -> list[queries.ModelRow]:
        return queries.models(session, Listing("ID", False, 11), sources=[], labels=[], text="")

    async def models(request: web.Request) -> web.Response:
        rows = await database.run(read)
        return web.Response(text=",".join(row.document for row in rows), content_type="application/json")

    application = web.Application()
    application.router.add_get("/api/model_catalog/v1alpha1/models", models)
    web.run_app(application, host="127.0.0.1", port=int(os.environ["BENCH_PORT"]), access_log=None, print=None)


if __name__ == "__main__":
    main()

"""The HTTP API on loopback, in a thread of the test's process."""

import asyncio
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from catalog_server.config import Settings
from catalog_server.db import Database
from catalog_server.http.context import IN_FLIGHT, SERVICES, Services, ServicesHolder
from catalog_server.http.health import READINESS, Check, Checks
from catalog_server.http.in_flight import InFlight
from catalog_server.http.routes import make_application
from catalog_server.jobs import Queue
from catalog_server.reads import Reads

BASE = "/api/model_catalog/v1alpha1"


class ApiServer:
    """Serves the given database until `stop`."""

    def __init__(self, database: Database | None, dsn: str, *, reads: Reads | None = None, **settings: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._holder = ServicesHolder()
        if database is not None:
            current = Services(Settings(database_dsn=dsn, **settings), database, Queue(), reads or Reads(database))
            self._holder.current = current
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="api-server")
        self._thread.start()
        assert started.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=30)

    def get(self, path: str, **parameters: Any) -> tuple[int, Any]:
        """Status and JSON body; a list as parameter is repeated."""
        return self.request("GET", path, **parameters)

    def post(self, path: str, body: bytes) -> tuple[int, Any]:
        return self._send(urllib.request.Request(f"{self.url}{path}", method="POST", data=body))

    def request(self, method: str, path: str, **parameters: Any) -> tuple[int, Any]:
        query = urllib.parse.urlencode(parameters, doseq=True)
        url = f"{self.url}{path}" + (f"?{query}" if query else "")
        return self._send(urllib.request.Request(url, method=method))

    def _send(self, request: urllib.request.Request) -> tuple[int, Any]:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def walk(self, path: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Every page, as a client asks for them."""
        token = ""
        while True:
            status, page = self.get(path, **parameters, **({"nextPageToken": token} if token else {}))
            assert status == 200, page
            yield page
            token = page["nextPageToken"]
            if not token:
                return

    def _run(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        runner = self._loop.run_until_complete(self._start())
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _start(self) -> web.AppRunner:
        application = make_application()
        application[SERVICES] = self._holder
        application[READINESS] = _ready
        application[IN_FLIGHT] = InFlight()
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return runner


async def _ready() -> Checks:
    return {"config": Check(True), "database": Check(True)}

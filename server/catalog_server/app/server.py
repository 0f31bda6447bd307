"""What lives as long as the process: the listener, the signals, and the current `Runtime`."""

import asyncio
import contextlib
import logging
import os
import signal

from aiohttp import web

from catalog_server.app.runtime import Runtime
from catalog_server.config import (
    FIXED_FIELDS,
    InvalidConfiguration,
    Settings,
    listen_address,
    load_settings,
    restart_needed,
)
from catalog_server.http.context import IN_FLIGHT, SERVICES, ServicesHolder
from catalog_server.http.health import READINESS, Check, Checks
from catalog_server.http.in_flight import InFlight
from catalog_server.http.routes import make_application

log = logging.getLogger(__name__)

STRAGGLERS_SECONDS = 1.0  # for requests that came on an open connection at the last moment


class CannotListen(Exception):
    """The address can not be bound; the message names the settings and the remedy."""


class Server:
    """One process: `run` returns after an orderly stop.

    Invariant: at most one `Runtime` serves requests, and a runtime is stopped only after its successor, if
    there is one, took its place.
    """

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._problem: str | None = "starting"
        self._in_flight = InFlight()
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._holder = ServicesHolder()
        self._address = listen_address()

    async def run(self) -> None:
        """Listens, serves until SIGTERM or SIGINT, and stops in order. Raises `CannotListen`."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        await self._apply_configuration()
        runner = await self._listen()
        await self._serve_until_stopped()
        await self._shut_down(runner)

    async def _listen(self) -> web.AppRunner:
        application = make_application()
        application[SERVICES] = self._holder
        application[READINESS] = self._checks
        application[IN_FLIGHT] = self._in_flight
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=STRAGGLERS_SECONDS)
        await runner.setup()
        host, port = self._address
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            if self._runtime is not None:
                await self._runtime.stop()
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise CannotListen(
                f"http_host, http_port = {host}, {port}: {reason}. Choose another port, or end what listens there"
            ) from error
        log.info("listening", extra={"host": host, "port": port})
        return runner

    async def _serve_until_stopped(self) -> None:
        while not self._stop.is_set():
            waits = [asyncio.create_task(event.wait()) for event in (self._stop, self._reload)]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in waits:
                task.cancel()
            if self._reload.is_set() and not self._stop.is_set():
                self._reload.clear()
                await self._apply_configuration()

    async def _shut_down(self, runner: web.AppRunner) -> None:
        log.info("draining")
        self._in_flight.draining = True
        runtime = self._runtime
        if runtime is not None:
            runtime.readiness.drain("shutting down")
            await asyncio.sleep(runtime.settings.drain_seconds)  # load balancers take notice
        for site in runner.sites:
            await site.stop()  # the listener is closed, connections are not
        if runtime is None:
            await runner.cleanup()
            return
        # A client that takes its time with a request must not keep others from the lease.
        await asyncio.gather(self._in_flight.finished(runtime.settings.shutdown_grace_seconds), runtime.hand_over())
        await runner.cleanup()
        await runtime.close()

    async def _checks(self) -> Checks:
        if self._runtime is None:
            return {"config": Check(False, self._problem)}
        # A bad new configuration is told, but the old one is at work: taking every replica out of service
        # at once because of it would be worse than the mistake.
        return {"config": Check(True, self._problem), **await self._runtime.checks()}

    async def _apply_configuration(self) -> None:
        """Reads the configuration; where it is new and valid, swaps the runtime for one made from it."""
        try:
            settings = load_settings()
            self._refuse_fixed_changes(settings)
        except InvalidConfiguration as error:
            self._problem = str(error)
            for problem in error.problems:
                log.error("invalid configuration: %s", problem)
            return
        self._problem = None
        if self._runtime is None or settings != self._runtime.settings:
            await self._swap(settings)

    def _refuse_fixed_changes(self, settings: Settings) -> None:
        if self._runtime is None:
            return
        current = self._runtime.settings
        problems = [
            restart_needed(field, getattr(settings, field))
            for field in FIXED_FIELDS
            if getattr(settings, field) != getattr(current, field)
        ]
        if problems:
            raise InvalidConfiguration(problems)

    async def _swap(self, settings: Settings) -> None:
        host, port = self._address
        old = self._runtime
        if old is not None and old.settings.is_sqlite:
            await old.stop()  # SQLite has room for one runtime only
            old = None
        runtime = Runtime(settings, url=f"http://{host}:{port}")
        runtime.start()
        if old is not None:
            # The old runtime serves until the new one can; a reload never makes a replica unready.
            with contextlib.suppress(TimeoutError):
                await runtime.wait_until_ready(settings.shutdown_grace_seconds)
        self._runtime = runtime
        self._holder.current = runtime.services
        if old is not None:
            await old.stop()

"""Everything of a replica that needs valid settings: built, started, asked for its health, stopped."""

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from uuid import uuid4

from catalog_server import __version__, replicas
from catalog_server.app.pools import Pools
from catalog_server.app.readiness import Readiness
from catalog_server.app.schema import SchemaKeeper
from catalog_server.catalog.refresh import RefreshHandler
from catalog_server.config import Settings
from catalog_server.db import Session
from catalog_server.http.context import Services
from catalog_server.http.health import Checks
from catalog_server.jobs import Handler, Listener, Queue, Rescuer, RetryPolicy, Worker
from catalog_server.kubernetes import StateStore
from catalog_server.leadership import Election, Elector, Fence, LeaseBackend, Term, Timing, make_backend
from catalog_server.migrations import server_head
from catalog_server.probes import ProbeHandler
from catalog_server.reads import Reads, Standby
from catalog_server.singletons import Loop, run_loops
from catalog_server.singletons.cleanup import Cleanup
from catalog_server.singletons.record_state import RecordState
from catalog_server.singletons.schedule import Schedule
from catalog_server.singletons.watch_sources import WatchSources

log = logging.getLogger(__name__)

READY_POLL_SECONDS = 0.2


class Runtime:
    """One set of parts for one set of settings. Started once, stopped once."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.url = url
        # One identity per start, never a host or pod name: a restarted process must not be mistaken for the
        # holder of its predecessor's claims or lease.
        self.identity = f"{settings.replica_name}/{uuid4().hex[:12]}"
        self.pools = Pools(settings)
        self.queue = Queue()
        self.fence = Fence(settings.leadership_lease_name)
        self.standby = self._make_standby()
        self.services = Services(settings, self.pools.api, self.queue, Reads(self.pools.api, self.standby))
        self.schema = SchemaKeeper(settings, self.identity)
        self.readiness = Readiness(self.pools.health, self.schema)
        self.worker = self._make_worker()
        self.rescuer = Rescuer(
            database=self.pools.heartbeat, queue=self.queue, interval_seconds=settings.jobs_rescue_seconds
        )
        self.listener = Listener(settings.database_dsn.get_secret_value(), on_wake=self.worker.wake)
        self.lease: LeaseBackend | None = None
        self.state: StateStore | None = None
        self.elector: Elector | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def _make_standby(self) -> Standby | None:
        if self.pools.reads is None:
            return None
        return Standby(self.pools.reads, identity=self.identity, staleness_seconds=self.settings.read_staleness_seconds)

    def _make_worker(self) -> Worker:
        settings = self.settings
        handlers: list[Handler] = [
            RefreshHandler(
                database=self.pools.worker,
                timeout_seconds=settings.source_timeout_seconds,
                max_bytes=settings.source_max_bytes,
            )
        ]
        if settings.probes_enabled:
            handlers.append(ProbeHandler())
        return Worker(
            database=self.pools.worker,
            heartbeat_database=self.pools.heartbeat,
            queue=self.queue,
            handlers=handlers,
            identity=self.identity,
            concurrency=settings.jobs_concurrency,
            batch_size=settings.jobs_batch_size,
            claim_lease_seconds=settings.jobs_claim_lease_seconds,
            heartbeat_seconds=settings.jobs_heartbeat_seconds,
            poll_seconds=settings.jobs_poll_seconds,
            retry=RetryPolicy(settings.jobs_retry_base_seconds, settings.jobs_retry_max_seconds),
        )

    def start(self) -> None:
        """Begins to bring the parts up; returns at once. `readiness` tells how far it got."""
        self._spawn(self._bring_up(), "bring-up")

    async def checks(self) -> Checks:
        """See `readiness`."""
        return await self.readiness.checks()

    async def wait_until_ready(self, seconds: float) -> None:
        """Raises `TimeoutError` if it takes longer."""
        async with asyncio.timeout(seconds):
            # Readiness is asked for, it has no event.
            while not all(check.ok for check in (await self.checks()).values()):  # noqa: ASYNC110
                await asyncio.sleep(READY_POLL_SECONDS)

    async def _bring_up(self) -> None:
        await self.schema.prepare()  # waits for the database and for migrations as long as it takes
        settings = self.settings
        self._spawn(self._beat(), "replica-beat")
        if self.standby is not None:
            self._spawn(self.standby.watch(), "standby-watch")
        if settings.jobs_concurrency:
            await self.worker.start()
            self._spawn(self.rescuer.run(), "rescuer")
            self._spawn(self.listener.run(), "listener")
        self.lease = await make_backend(
            settings.leadership_backend,
            name=settings.leadership_lease_name,
            namespace=settings.leadership_namespace,
            database=self.pools.election,
        )
        if settings.state_configmap is not None:
            # Imported here, as in `make_backend`: the client is large, and only Kubernetes needs it.
            from catalog_server.kubernetes.state_configmap import StateConfigMap

            self.state = StateConfigMap(settings.state_configmap, settings.leadership_namespace)
        self.elector = Elector(
            backend=self.lease,
            epochs=Election(self.fence, self.pools.election),
            identity=self.identity,
            timing=Timing(
                lease_seconds=settings.leadership_lease_seconds,
                renew_deadline_seconds=settings.leadership_renew_deadline_seconds,
                retry_seconds=settings.leadership_retry_seconds,
            ),
            lead=self._lead,
        )
        self._spawn(self.elector.run(), "elector")
        log.info("started", extra={"identity": self.identity})

    async def _lead(self, term: Term) -> None:
        settings = self.settings
        loops: list[Loop] = [
            Cleanup(self.pools.singletons, self.fence, self.queue, settings),
            Schedule(self.pools.singletons, self.fence, self.queue, settings),
        ]
        sources = None
        if settings.sources_file is not None:
            sources = WatchSources(self.pools.singletons, self.fence, self.queue, settings)
            loops.append(sources)
        if self.state is not None:
            loops.append(RecordState(self.pools.singletons, self.fence, self.state, sources))
        await run_loops(loops, term)

    async def _beat(self) -> None:
        """Keeps this replica's row fresh; three beats fit into the time-out, and five into a standby's bound."""
        pause_seconds = self.settings.replica_timeout_seconds / 4
        if self.standby is not None:
            pause_seconds = min(pause_seconds, self.standby.heartbeat_seconds)
        while True:
            try:
                await self._register()
            except Exception as error:
                log.warning("could not say that this replica is alive: %s", error)
            await asyncio.sleep(pause_seconds)

    async def _register(self) -> None:
        checks = await self.checks()

        def beat(session: Session, seen_at: Any = None) -> None:
            replicas.beat(
                session,
                id=self.identity,
                name=self.settings.replica_name,
                server_version=__version__,
                schema_head=server_head(),
                url=self.url,
                ready=all(check.ok for check in checks.values()),
                seen_at=seen_at,
            )

        if self.standby is None:
            await self.pools.health.run(beat)
        else:
            await self.standby.beat(self.pools.health, beat)

    async def stop(self) -> None:
        """`hand_over`, then `close`."""
        await self.hand_over()
        await self.close()

    async def hand_over(self) -> None:
        """Leaves to others what they can take: jobs are finished or handed back, loops end, the lease is released.

        Neither waits for the other: how long a job takes says nothing of how soon there must be another leader.
        Bounded by `shutdown_grace_seconds` and deadlines.
        """
        self.readiness.drain("shutting down")
        self.schema.stop()
        for task in self._tasks:
            if task.get_name() == "bring-up":
                await _cancel(task)
        leaving = [self.worker.stop(self.settings.shutdown_grace_seconds)]
        if self.elector is not None:
            leaving.append(self.elector.stop())
        await asyncio.gather(*leaving)

    async def close(self) -> None:
        """After `hand_over`, and the last request: says goodbye and closes all connections. Bounded by deadlines."""
        for task in self._tasks:
            await _cancel(task)
        if self.lease is not None:
            await self.lease.close()
        if self.state is not None:
            await self.state.close()
        with suppress(Exception):  # the row expires by itself where the database is gone
            await self.pools.health.run(lambda session: replicas.remove(session, self.identity))
        await asyncio.to_thread(self.pools.close)
        log.info("stopped", extra={"identity": self.identity})

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(_report_failure)
        self._tasks.append(task)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await task


def _report_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s ended unexpectedly", task.get_name(), exc_info=error)

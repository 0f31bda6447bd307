"""The worker: claims jobs, runs their handlers, and ends their claims.

Three activities share the claims that are held: fetching (claims more while there is room), running (a fixed
number of runners) and completing (batches of jobs without an effect). A heartbeat on a pool of its own keeps
held claims alive. A job's effect is committed by its runner, in one transaction with the completion.

Invariants:
* A claim is in `_held` from when it was drawn until its end was answered, or it was lost; only such claims
  get heartbeats, and only for them is anything written.
* No more claims are held than can be run within `HOLD_SECONDS`, so that one replica does not sit on jobs that
  another could run.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

from catalog_server.db import Database, DatabaseUnavailable, Session
from catalog_server.jobs.handler import Effect, Handler
from catalog_server.jobs.job import Claim
from catalog_server.jobs.queue import Queue, StaleClaim
from catalog_server.jobs.retry import RetryPolicy
from catalog_server.observability import metrics
from catalog_server.observability.logs import log_context

log = logging.getLogger(__name__)
T = TypeVar("T")

HOLD_SECONDS = 0.2
YIELD_EVERY = 50  # jobs that never wait must not keep the event loop from probes and heartbeats
DATABASE_PAUSE_SECONDS = 0.5


class Worker:
    """One per process. `identity` is one per process start, never a host or pod name."""

    def __init__(
        self,
        *,
        database: Database,
        heartbeat_database: Database,
        queue: Queue,
        handlers: Sequence[Handler],
        identity: str,
        concurrency: int,
        batch_size: int,
        claim_lease_seconds: float,
        heartbeat_seconds: float,
        poll_seconds: float,
        retry: RetryPolicy,
    ) -> None:
        self._database = database
        self._heartbeat_database = heartbeat_database
        self._queue = queue
        self._handlers = {handler.kind: handler for handler in handlers}
        self._identity = identity
        self._concurrency = concurrency
        self._batch_size = batch_size
        self._claim_lease_seconds = claim_lease_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._poll_seconds = poll_seconds
        self._retry = retry

        self._held: dict[int, Claim] = {}
        self._running: dict[int, asyncio.Task[None]] = {}  # tokens whose handler is at work -> the runner
        self._lost: set[int] = set()  # tokens whose runner is to be stopped
        self._pending: asyncio.Queue[Claim] = asyncio.Queue()
        self._waiting: set[int] = set()  # tokens in `_pending`
        self._finished: list[Claim] = []
        self._run_seconds = HOLD_SECONDS  # moving average per job
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._to_complete = asyncio.Event()
        self._fetcher: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._runners: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Begins to claim and run jobs."""
        self._fetcher = asyncio.create_task(self._fetch(), name="worker-fetch")
        self._runners = [
            asyncio.create_task(self._run(), name=f"worker-run-{number}") for number in range(self._concurrency)
        ]
        self._tasks = [
            asyncio.create_task(self._complete_batches(), name="worker-complete"),
            asyncio.create_task(self._beat(), name="worker-heartbeat"),
        ]

    def wake(self) -> None:
        """A job may be available: look now rather than at the next poll."""
        self._wake.set()

    async def stop(self, grace_seconds: float) -> None:
        """Claims nothing more, lets running jobs finish for the grace, and hands the others back at once."""
        if self._fetcher is None:
            return
        await _cancel([self._fetcher])  # a claim under way is waited for, see `_claim`
        unstarted = [self._pending.get_nowait() for _ in range(self._pending.qsize())]
        await self._release(unstarted)
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._held:
                    self._room.clear()
                    await self._room.wait()
        await _cancel(self._runners)
        await _cancel(self._tasks)
        await self._release(list(self._held.values()))

    # Fetching

    async def _fetch(self) -> None:
        while True:
            capacity = self._capacity()
            room = capacity - len(self._held)
            # While all runners are busy, wait for a batch that is worth a round trip; an idle one does not wait.
            if room < 1 or (len(self._held) >= self._concurrency and room < capacity // 2):
                self._room.clear()
                await self._room.wait()
                continue
            self._wake.clear()
            limit = min(room, self._batch_size)
            try:
                claims = await self._claim(limit)
            except Exception as error:
                log.warning("no jobs could be claimed: %s", error)
                claims = []
            if len(claims) < limit:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_seconds):
                        await self._wake.wait()

    def _capacity(self) -> int:
        """How many claims may be held: what the runners get through in `HOLD_SECONDS`, at least one each."""
        per_runner = HOLD_SECONDS / max(self._run_seconds, 1e-6)
        return int(min(max(per_runner, 1) * self._concurrency, 2 * self._batch_size))

    async def _claim(self, limit: int) -> list[Claim]:
        kinds = list(self._handlers)

        def claim(session: Session) -> list[Claim]:
            return self._queue.claim(
                session, kinds, worker_id=self._identity, limit=limit, lease_seconds=self._claim_lease_seconds
            )

        call = asyncio.ensure_future(self._database.run(claim))
        try:
            claims = await asyncio.shield(call)
        except asyncio.CancelledError:
            # Stopping: what is being claimed at this moment must not be left to expire.
            with suppress(Exception):
                self._accept(await call)
            raise
        self._accept(claims)
        return claims

    def _accept(self, claims: list[Claim]) -> None:
        for claim in claims:
            self._held[claim.token] = claim
            self._waiting.add(claim.token)
            self._pending.put_nowait(claim)
            metrics.JOB_PICKUP.labels(claim.job.kind).observe(claim.pickup_seconds)

    # Running

    async def _run(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        count = 0
        while True:
            claim = await self._pending.get()
            self._waiting.discard(claim.token)
            if claim.token not in self._held:
                continue  # lost while it waited
            started = loop.time()
            try:
                await self._handle(claim, task)
            except asyncio.CancelledError:
                if claim.token not in self._lost:
                    raise  # the worker stops; `stop` hands the claim back
                self._lost.discard(claim.token)
                if task.uncancel():
                    raise  # it stops as well
                log.warning("stopped a job whose claim was lost", extra={"job_id": claim.job.id})
            except Exception as error:
                # A runner outlives whatever happens to one job; the claim, without heartbeats, expires.
                log.error("its end is left to the rescuer: %s", error, extra={"job_id": claim.job.id})
                self._forget([claim])
            self._run_seconds += 0.05 * (loop.time() - started - self._run_seconds)
            count += 1
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _handle(self, claim: Claim, runner: asyncio.Task[None]) -> None:
        job = claim.job
        with log_context(job_id=job.id, kind=job.kind):
            failure: BaseException | None = None
            self._running[claim.token] = runner
            try:
                effect = await self._handlers[job.kind].run(job)
            except (Exception, asyncio.CancelledError) as error:
                failure = error
            finally:
                del self._running[claim.token]
            if runner.cancelling():
                raise asyncio.CancelledError  # by this worker, even if the handler made something else of it
            if failure is not None:
                log.warning("attempt %d of %d failed: %s", job.attempt, job.max_attempts, failure, exc_info=failure)
                await self._fail(claim, failure)
            elif effect is None:
                self._finished.append(claim)
                self._to_complete.set()
            else:
                await self._commit(claim, effect)

    async def _commit(self, claim: Claim, effect: Effect) -> None:
        """The effect and the completion, both or neither."""

        def commit(session: Session) -> None:
            effect(session)
            self._queue.complete_one(session, claim)

        try:
            await self._until_answered(lambda: self._database.transaction(commit), claim)
        except StaleClaim:
            if await self._was_completed([claim]) != {claim.token}:
                self._report_stale([claim], "completion")
                return
        except DatabaseUnavailable:
            raise
        except Exception as error:
            log.warning("the effect of attempt %d failed: %s", claim.job.attempt, error, exc_info=True)
            await self._fail(claim, error)
            return
        self._end(claim, "completed")
        log.info("completed", extra={"attempt": claim.job.attempt})

    async def _fail(self, claim: Claim, error: BaseException) -> None:
        pause_seconds = self._retry.pause_seconds(claim.job.attempt)
        text = f"{type(error).__name__}: {error}"
        try:
            state = await self._until_answered(
                lambda: self._database.run(
                    lambda session: self._queue.fail(session, claim, text, pause_seconds=pause_seconds)
                ),
                claim,
            )
        except StaleClaim:
            self._report_stale([claim], "failure")
            return
        self._end(claim, "failed")
        if state == "dead":
            log.error("dead after %d attempts", claim.job.attempt)

    # Completing jobs without an effect

    async def _complete_batches(self) -> None:
        while True:
            await self._to_complete.wait()
            self._to_complete.clear()
            while self._finished:
                batch, self._finished = self._finished[: self._batch_size], self._finished[self._batch_size :]
                await self._complete(batch)

    async def _complete(self, batch: list[Claim]) -> None:
        try:
            tokens = await self._until_answered(
                lambda: self._database.run(lambda session: self._queue.complete(session, batch)), batch[0]
            )
            stale = [claim for claim in batch if claim.token not in tokens]
            if stale:
                completed = await self._was_completed(stale)
                stale = [claim for claim in stale if claim.token not in completed]
        except Exception as error:
            log.error("completions are left to the rescuer: %s", error)
            self._forget(batch)
            return
        stale_tokens = {claim.token for claim in stale}
        for claim in batch:
            if claim.token not in stale_tokens:
                self._end(claim, "completed")
        self._report_stale(stale, "completion")

    async def _was_completed(self, claims: list[Claim]) -> set[int]:
        """Tokens that the ledger has as completed: a call whose answer was lost had taken effect."""
        return await self._until_answered(
            lambda: self._database.run(lambda session: self._queue.completed_among(session, claims)),
            claims[0],
        )

    # What all ends of a claim share

    async def _until_answered(self, call: Callable[[], Awaitable[T]], claim: Claim) -> T:
        """Repeats a call while the database is away and the claim may still be held.

        Repeating is safe: a call that took effect although its answer was lost finds its claim ended.
        """
        give_up_at = asyncio.get_running_loop().time() + self._claim_lease_seconds
        while True:
            try:
                return await call()
            except DatabaseUnavailable:
                if claim.token not in self._held or asyncio.get_running_loop().time() >= give_up_at:
                    raise
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)

    def _end(self, claim: Claim, outcome: str) -> None:
        metrics.JOBS_FINISHED.labels(claim.job.kind, outcome).inc()
        self._forget([claim])

    def _report_stale(self, claims: Sequence[Claim], what: str) -> None:
        for claim in claims:
            metrics.STALE_CLAIMS.labels(what).inc()
            log.warning("a %s was refused: the claim is stale", what, extra={"job_id": claim.job.id})
        self._forget(claims)

    def _forget(self, claims: Sequence[Claim]) -> None:
        for claim in claims:
            self._held.pop(claim.token, None)
        self._room.set()

    async def _release(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        try:
            await self._database.run(lambda session: self._queue.release(session, claims))
        except Exception as error:
            log.warning("claims could not be handed back and will be rescued: %s", error)
        self._forget(claims)

    # Heartbeat

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            claims = list(self._held.values())
            if not claims:
                answered_at = loop.time()
                continue
            asked_at = loop.time()
            try:
                held = await self._heartbeat_database.run(
                    partial(self._queue.heartbeat, claims=claims, lease_seconds=self._claim_lease_seconds)
                )
            except Exception as error:
                log.warning("no heartbeat: %s", error)
                if loop.time() - answered_at >= self._claim_lease_seconds:
                    self._lose(claims)  # others have rescued them by now
                continue
            answered_at = asked_at
            self._lose([claim for claim in claims if claim.token not in held])

    def _lose(self, claims: Sequence[Claim]) -> None:
        """Stops what runs under claims that are not held any more. Their effects could not be committed."""
        for claim in claims:
            if claim.token not in self._held:
                continue  # it ended while the heartbeat was under way
            runner = self._running.get(claim.token)
            if runner is not None:
                self._lost.add(claim.token)
                runner.cancel()
            elif claim.token not in self._waiting:
                continue  # its end is being written, and the answer will tell
            self._report_stale([claim], "heartbeat")


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

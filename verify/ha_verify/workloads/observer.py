"""What is watched while things break: who leads, who is ready, which loops tick, who holds the migration lock, and
what each member of a replicated database says and takes."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import partial
from types import TracebackType
from typing import Any, Self

import aiohttp

from ha_verify.history import OBSERVER, Recorder
from ha_verify.targets import Replica, Target

LEADER_SECONDS = 0.2
REPLICA_SECONDS = 0.5
LOCKS_SECONDS = 0.1
MEMBER_SECONDS = 0.5
REPLICAS_SECONDS = 0.3  # how often the list of replicas is asked for: a start is noticed this late
_PATIENCE_SECONDS = 1.0  # a replica that says nothing for so long does not say that it is ready
_METRICS_PATIENCE_SECONDS = 15.0  # without its database a replica answers only when it has given up asking

_LEADER = """
    SELECT term.epoch, term.holder, replica.name AS replica,
        ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int AS timeline
    FROM leadership_terms AS term LEFT JOIN replicas AS replica ON replica.id = term.holder
    WHERE term.ended_at IS NULL ORDER BY term.epoch DESC LIMIT 1
"""
# The key is that of every server, old and new: "catalog1". A session that has a transaction id has written; one that
# is there to migrate, or does, and writes is of interest all the more where it does not hold the lock.
_LOCKS = """
    SELECT activity.pid, activity.application_name AS holder, coalesce(locks.granted, FALSE) AS granted,
        coalesce(extract(epoch FROM clock_timestamp() - locks.waitstart), 0)::double precision AS waited_seconds,
        activity.backend_xid IS NOT NULL AS writes
    FROM pg_stat_activity AS activity LEFT JOIN pg_locks AS locks ON locks.pid = activity.pid
        AND locks.locktype = 'advisory' AND locks.classid = 1667331169 AND locks.objid = 1819240241
    WHERE locks.pid IS NOT NULL
        OR (activity.backend_xid IS NOT NULL AND (starts_with(activity.application_name, 'migrating@')
            OR activity.application_name = 'catalog-server/migrations'))
    ORDER BY activity.pid
"""
_TICKS = re.compile(r'^catalog_singleton_ticks_total\{loop="([^"]+)",outcome="(done|failed)"\} (\S+)$', re.MULTILINE)


class Observer:
    """Samples until it is left. What can not be seen is recorded as such, with the error, and asked for again."""

    def __init__(self, recorder: Recorder, target: Target, *, watch_locks: bool = False) -> None:
        self._recorder = recorder
        self._target = target
        self._watch_locks = watch_locks
        self._replicas: list[Replica] = []
        self._last_ticks: dict[tuple[str, str], dict[str, float]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._asking: dict[str, asyncio.Task[None]] = {}  # by replica, for its metrics: a slow one holds up no other
        self.watch_leader = True  # off while a database is being emptied, with all that it knew of leaders
        self._instances: dict[str, str] | None = None  # by replica; None before the first look
        self._starting: dict[str, int] = {}  # replicas that are not ready yet, and when their start was noticed
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=_PATIENCE_SECONDS)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True), timeout=timeout)
        samples: list[tuple[Callable[[], Awaitable[None]], float]] = [
            (self._find_replicas, REPLICAS_SECONDS),
            (self._leader, LEADER_SECONDS),
            (self._sample_replicas, REPLICA_SECONDS),
        ]
        if self._watch_locks:
            samples += [(self._locks, LOCKS_SECONDS)]
        if "database members" not in self._target.lacks:
            for name in await self._target.members.names():  # one that is silent holds up no other
                samples += [(partial(self._member, name), MEMBER_SECONDS)]
                samples += [(partial(self._member_write, name), MEMBER_SECONDS)]
        self._tasks = [asyncio.create_task(_every(seconds, sample)) for sample, seconds in samples]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = [*self._tasks, *self._asking.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._session.close()

    async def _find_replicas(self) -> None:
        try:
            self._replicas = await self._target.replicas()
        except Exception as error:
            self._note("replicas", None, error)
            return
        for name in self._starting.keys() - {replica.name for replica in self._replicas}:
            del self._starting[name]  # replaced by another one: nobody waits for it any more
        instances = {replica.name: replica.instance for replica in self._replicas if replica.running}
        for name, instance in instances.items():
            if self._instances is not None and self._instances.get(name) != instance:
                self._starting[name] = self._recorder.now_ns()
        self._instances = (self._instances or {}) | instances

    def report_unstarted(self) -> None:
        """Records the replicas that were started and have not become ready up to now."""
        for name, since_ns in self._starting.items():
            waited = (self._recorder.now_ns() - since_ns) / 1e9
            self._note("startup", {"replica": name, "failed": f"not ready after {waited:.1f} s"})
        self._starting.clear()

    async def _leader(self) -> None:
        if not self.watch_leader:
            return
        try:
            rows = await self._target.sql(_LEADER)
        except Exception as error:
            self._note("leader", None, error)
        else:
            self._note("leader", rows[0] if rows else None)

    async def _locks(self) -> None:
        try:
            self._note("locks", await self._target.sql(_LOCKS))
        except Exception as error:
            self._note("locks", None, error)

    async def _member(self, name: str) -> None:
        value = {"member": name, "asked_ns": self._recorder.now_ns()}
        try:
            looked = asdict(await self._target.members.look(name))
        except Exception as error:
            self._note("member", value, error)
        else:
            del looked["name"]
            self._note("member", value | looked)

    async def _member_write(self, name: str) -> None:
        value = {"member": name, "asked_ns": self._recorder.now_ns()}
        try:
            timeline = await self._target.members.write(name)
        except Exception as error:
            self._note("member write", value, error)
        else:
            self._note("member write", value | {"timeline": timeline})

    async def _sample_replicas(self) -> None:
        await asyncio.gather(*(self._sample_replica(replica) for replica in self._replicas))

    async def _sample_replica(self, replica: Replica) -> None:
        if not replica.running:
            self._note("readiness", {"replica": replica.name, "ready": False, "reason": "not running"})
            return
        asked_ns = self._recorder.now_ns()
        ready, reason = await self._readiness(replica)
        since_ns = self._starting.get(replica.name)
        if ready and since_ns is not None and since_ns <= asked_ns:
            del self._starting[replica.name]
            seconds = (self._recorder.now_ns() - since_ns) / 1e9
            self._note("startup", {"replica": replica.name, "ready_after_seconds": seconds})
        self._note("readiness", {"replica": replica.name, "ready": ready, "reason": reason})
        if (asking := self._asking.get(replica.name)) is None or asking.done():
            self._asking[replica.name] = asyncio.create_task(self._sample_ticks(replica))

    async def _sample_ticks(self, replica: Replica) -> None:
        timeout = aiohttp.ClientTimeout(total=_METRICS_PATIENCE_SECONDS)
        try:
            async with self._session.get(f"{replica.url}/metrics", timeout=timeout) as response:
                counters = parse_ticks(await response.text())
        except (aiohttp.ClientError, TimeoutError, OSError):
            return  # as told by its readiness
        for loop, counts in counters.items():
            if self._last_ticks.get((replica.name, loop)) != counts:
                self._last_ticks[replica.name, loop] = counts
                self._note("ticks", {"replica": replica.name, "loop": loop} | counts)

    async def _readiness(self, replica: Replica) -> tuple[bool, str | None]:
        try:
            async with self._session.get(f"{replica.url}/readyz") as response:
                document = await response.json()
        except TimeoutError:
            return False, f"no answer within {_PATIENCE_SECONDS:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return False, f"no answer: {error}"
        if response.status == 200:
            return True, None
        checks = document.get("checks", {}) if isinstance(document, dict) else {}
        reasons = [f"{name}: {check.get('reason')}" for name, check in checks.items() if not check.get("ok")]
        return False, "; ".join(reasons) or f"HTTP {response.status}"

    def _note(self, f: str, value: Any, error: Exception | None = None) -> None:
        told = None if error is None else f"{type(error).__name__}: {str(error).strip()}"
        self._recorder.record("info", OBSERVER, f, value, told)


def parse_ticks(metrics: str) -> dict[str, dict[str, float]]:
    """Rounds of each leader-only loop, by outcome, from the text of /metrics."""
    counters: dict[str, dict[str, float]] = {}
    for loop, outcome, value in _TICKS.findall(metrics):
        counters.setdefault(loop, {"done": 0.0, "failed": 0.0})[outcome] = float(value)
    return counters


async def _every(seconds: float, sample: Callable[[], Awaitable[None]]) -> None:
    while True:
        await sample()
        await asyncio.sleep(seconds)

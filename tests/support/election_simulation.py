"""Electors on simulated time, over the real lease table and the real fence in SQLite. Nothing here sleeps.

Each replica has an event loop of its own, whose clock is the simulation's. A loop that is not stepped is a
paused process: it may be paused at any `await`, between a request, its effect and its answer, and time goes on
without it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal, TypeVar

from catalog_server.db import Database, Session
from catalog_server.leadership import Conflict, Election, Elector, Fence, Fenced, LeaseRecord, Term, Timing
from catalog_server.leadership.database_lease import DatabaseLease
from catalog_server.leadership.elector import SystemClock
from catalog_server.migrations.versions.v0001_initial import VERSION

T = TypeVar("T")
NAME = "catalog-server"
QUANTUM_SECONDS = 0.1
TICK_SECONDS = 1.0  # between the writes of a term's loops
Fault = Literal["frozen", "answer lost", "late", "refused"]


class SteppedLoop(asyncio.SelectorEventLoop):
    """An event loop that runs one round at a time, on a given clock."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._scheduled_some = False
        super().__init__()

    def time(self) -> float:
        return self._clock()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> asyncio.Handle:
        self._scheduled_some = True
        return super().call_soon(callback, *args, context=context)

    def step(self) -> bool:
        """Runs what is ready and due; returns whether that made more ready."""
        super().call_soon(self.stop)
        self._scheduled_some = False
        self.run_forever()
        return self._scheduled_some


class LoopClock(SystemClock):
    """A replica's monotonic clock; it sleeps as the real one does."""

    def __init__(self, loop: SteppedLoop) -> None:
        self._loop = loop

    def monotonic(self) -> float:
        return self._loop.time()


class SimulatedDatabase:
    """Stands for `Database` as one replica sees it: an `await` before and after the effect, and faults."""

    def __init__(self, shared: Database) -> None:
        self._shared = shared
        self.faults: list[Fault] = []  # of the next calls, in order
        self.frozen = False
        self.on_the_way: list[Callable[[], object]] = []  # calls given up by their caller, that may land yet

    async def run(self, work: Callable[[Session], T]) -> T:
        return await self._call(work)

    async def transaction(self, work: Callable[[Session], T]) -> T:
        def in_transaction(session: Session) -> T:
            with session.transaction():
                return work(session)

        return await self._call(in_transaction)

    async def _call(self, work: Callable[[Session], T]) -> T:
        await asyncio.sleep(0)
        fault = "frozen" if self.frozen else self.faults.pop(0) if self.faults else None
        if fault == "refused":
            raise ConnectionError("refused")
        if fault == "late":
            self.on_the_way.append(lambda: self._effect(work))
        if fault in ("frozen", "late"):
            await asyncio.Event().wait()
        result = self._effect(work)
        await (asyncio.Event().wait() if fault == "answer lost" else asyncio.sleep(0))
        return result

    def land(self) -> None:
        """What was on the way takes effect now, or is refused; nobody waits for the answer."""
        for effect in self.on_the_way:
            with suppress(Conflict):
                effect()
        self.on_the_way.clear()

    def _effect(self, work: Callable[[Session], T]) -> T:
        with self._shared.session() as session:
            return work(session)


class Replica:
    """One process: its clock, its elector, and the loops of its terms."""

    def __init__(self, simulation: "Simulation", number: int, timing: Timing, offset: float, rate: float) -> None:
        self.identity = f"replica-{number}"
        self.simulation = simulation
        self.loop = SteppedLoop(lambda: simulation.now * rate + offset)
        self.database = SimulatedDatabase(simulation.database)
        self.paused = False
        self.drain_seconds = 0.0
        self.acting: list[Term] = []
        self.loops_end = asyncio.Event()
        self.elector = Elector(
            backend=DatabaseLease(self.database, NAME),  # type: ignore[arg-type]
            epochs=Election(simulation.fence, self.database),  # type: ignore[arg-type]
            identity=self.identity,
            timing=timing,
            lead=self._lead,
            clock=LoopClock(self.loop),
            draw=lambda: (number % 3) / 2,
        )

    def start(self) -> None:
        self.spawn(self.elector.run())

    def spawn(self, work: Awaitable[None]) -> asyncio.Task[None]:
        async def run() -> None:
            await work

        return self.loop.create_task(run())

    def end_loops(self) -> None:
        """The loops of the term end as if one of them were fenced."""
        self.loops_end.set()

    @property
    def term(self) -> Term | None:
        return self.elector.term

    async def _lead(self, term: Term) -> None:
        self.simulation.began.append(term)
        self.acting.append(term)
        self.loops_end.clear()
        try:
            while not self.loops_end.is_set() and self.simulation.write(term):  # a fenced loop ends by itself
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.loops_end.wait(), TICK_SECONDS)
        finally:
            if self.drain_seconds:
                await asyncio.sleep(self.drain_seconds)
            self.acting.remove(term)

    def settle(self) -> None:
        """Runs until there is nothing to do before time goes on."""
        while self.loop.step():
            pass

    def step_until(self, condition: Callable[[], object], what: str) -> None:
        """Stops at the first `await` after which the condition holds."""
        for _ in range(1000):
            if condition():
                return
            self.loop.step()
        raise AssertionError(f"{what} did not happen")

    def write(self) -> bool:
        """A guarded write under every term whose loops are running here; returns whether one was made."""
        return sum(self.simulation.write(term) for term in self.acting) > 0

    def close(self) -> None:
        self.loop.step()  # a task that never began can not be cancelled without a warning
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.drain_seconds = 0.0
        self.settle()
        self.loop.close()


class Simulation:
    """Replicas over one database. `now` is real time, which no replica sees."""

    def __init__(
        self, count: int = 3, *, timing: Timing | None = None, rates: tuple[float, ...] = (1.0, 1.0, 1.0)
    ) -> None:
        self.now = 0.0
        self.timing = timing or Timing()
        self.fence = Fence(NAME)
        self.database = Database(
            "sqlite:///:memory:", purpose="test", size=1, deadline_seconds=60, connect_timeout_seconds=5
        )
        with self.database.session() as session:
            session.peewee.connection().executescript(VERSION.upgrade["sqlite"])
            session.execute("CREATE TABLE ledger (epoch integer NOT NULL, holder text NOT NULL)")
        self.began: list[Term] = []
        self.tampered = False  # by hand: then two may trust their terms, and only the fence tells
        self.replicas = [
            Replica(self, number, self.timing, offset=1000.0 * number, rate=rates[number]) for number in range(count)
        ]
        for replica in self.replicas:
            replica.start()

    def advance(self, seconds: float) -> None:
        """Time goes on, and nobody runs."""
        self.now += seconds

    def run(self, seconds: float, *, until: Callable[[], object] | None = None) -> None:
        """Time goes on in small steps for all that are not paused; ends early when the condition holds."""
        end = self.now + seconds
        while True:
            for replica in self.replicas:
                if not replica.paused:
                    replica.settle()
            self.check()
            if until is not None and until():
                return
            if self.now >= end - 1e-9:
                break
            self.now += QUANTUM_SECONDS
        assert until is None, "it did not happen"

    def check(self) -> None:
        """What must hold whenever every running replica has done what was due."""
        running = [replica for replica in self.replicas if not replica.paused]
        if not self.tampered:
            assert len([replica for replica in self.replicas if replica.term]) <= 1, "two trust their terms"
            assert sum(len(replica.acting) for replica in running) <= 1, "two sets of loops run"

    def leader(self) -> Replica | None:
        """The one that runs its loops, trusts its term and is not fenced."""
        leaders = [replica for replica in self.replicas if replica.term and replica.term.epoch == self.epoch()]
        assert len(leaders) <= 1
        return next((replica for replica in leaders if not replica.paused and replica.term in replica.acting), None)

    def elect(self) -> Replica:
        """Runs until somebody leads."""
        self.run(60, until=self.leader)
        leader = self.leader()
        assert leader is not None
        return leader

    def others(self, replica: Replica) -> list[Replica]:
        return [other for other in self.replicas if other is not replica]

    def epoch(self) -> int:
        with self.database.session() as session:
            return self.fence.current(session)

    def lease(self) -> LeaseRecord | None:
        with self.database.session() as session:
            row = session.row("SELECT holder, epoch, duration_seconds, version FROM leadership_leases")
        return LeaseRecord(row.holder, row.epoch, row.duration_seconds, row.version) if row else None

    def delete_lease(self) -> None:
        self.tampered = True
        self.execute("DELETE FROM leadership_leases")

    def execute(self, sql: str) -> None:
        with self.database.session() as session:
            session.execute(sql)

    def write(self, term: Term) -> bool:
        """A row in the ledger under the fence; False where it was refused."""

        def append(session: Session) -> None:
            session.execute("INSERT INTO ledger VALUES (%(epoch)s, %(holder)s)", epoch=term.epoch, holder=term.holder)

        with self.database.session() as session:
            try:
                with session.transaction():
                    self.fence.guarded(term, append)(session)
            except Fenced:
                return False
        return True

    def ledger(self) -> list[tuple[int, str]]:
        with self.database.session() as session:
            return [(row.epoch, row.holder) for row in session.rows("SELECT epoch, holder FROM ledger ORDER BY rowid")]

    def close(self) -> None:
        for replica in self.replicas:
            replica.close()
        self.database.close_this_thread()

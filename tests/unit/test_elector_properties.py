"""Whatever happens, in whatever order: three electors, one lease, one fence.

A rule starts an attempt, lets an attempt that is paused inside a call go on, or breaks something. An attempt
pauses before and after every call to the lease or the database, so that everything else can happen there.
"""

import asyncio
from collections.abc import Awaitable, Callable

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from catalog_server.leadership import Elector, Timing
from support.fake_lease import Connection, FakeClock, Shared, lead_until_cancelled

TIMING = Timing(lease_seconds=15, renew_deadline_seconds=10, retry_seconds=2)
REPLICAS = st.integers(0, 2)


class Lost(Exception):
    """A call, or its answer, that did not arrive."""


class Replica:
    """An elector whose attempt stops at every call until it is let go on."""

    def __init__(self, shared: Shared, clock: FakeClock, identity: str) -> None:
        self.connection = Connection(shared)
        self.connection.before = self.connection.after = self._pause
        self.gate: asyncio.Future[None] | None = None
        self.attempt: asyncio.Task[None] | None = None
        self.elector = Elector(
            backend=self.connection,
            epochs=self.connection,
            identity=identity,
            timing=TIMING,
            lead=lead_until_cancelled,
            clock=clock,
            draw=lambda: 0.0,
        )
        # Real time plays no part: a call that hangs is a rule of its own.
        self.elector._call = _unbounded  # type: ignore[method-assign]

    async def _pause(self, call: str) -> None:
        self.gate = asyncio.get_running_loop().create_future()
        await self.gate


async def _unbounded(call: Awaitable[object]) -> object:
    return await call


class Election(RuleBasedStateMachine):
    """All replicas share a clock's rate, as the guarantee asks for; phases and pauses are arbitrary."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.shared = Shared()
        self.clock = FakeClock()
        self.starts = 0
        self.deleted = False
        self.replicas = [self._start() for _ in range(3)]

    def _start(self) -> Replica:
        self.starts += 1
        return Replica(self.shared, self.clock, f"replica-{self.starts}")

    def _settle(self) -> None:
        """Lets every task run until all of them wait."""
        for _ in range(30):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()

    @rule(index=REPLICAS)
    def attempt(self, index: int) -> None:
        replica = self.replicas[index]
        if replica.attempt is None or replica.attempt.done():
            replica.attempt = self.loop.create_task(replica.elector.attempt())
            self._settle()

    @rule(index=REPLICAS, steps=st.integers(1, 9))
    def go_on(self, index: int, steps: int) -> None:
        for _ in range(steps):
            self._answer(index, lambda gate: gate.set_result(None))

    @rule(index=REPLICAS)
    def lose_the_call_or_its_answer(self, index: int) -> None:
        self._answer(index, lambda gate: gate.set_exception(Lost()))

    def _answer(self, index: int, answer: Callable[[asyncio.Future[None]], None]) -> None:
        gate = self.replicas[index].gate
        if gate is not None and not gate.done():
            answer(gate)
            self._settle()

    @rule(seconds=st.sampled_from([0.5, 2.0, 5.0, 9.0, 15.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(index=REPLICAS)
    def crash_and_restart(self, index: int) -> None:
        if (task := self.replicas[index].attempt) is not None:
            task.cancel()
        self.replicas[index] = self._start()
        self._settle()

    @rule()
    def somebody_deletes_the_lease(self) -> None:
        self.shared.lease = None
        self.deleted = True

    @invariant()
    def epochs_only_grow_and_each_has_one_holder(self) -> None:
        epochs = [epoch for epoch, _ in self.shared.taken]
        assert epochs == sorted(set(epochs))

    @invariant()
    def at_most_one_replica_could_write(self) -> None:
        leaders = [replica for replica in self.replicas if replica.elector.term is not None]
        unfenced = [leader for leader in leaders if leader.elector.term.epoch == self.shared.epoch]  # type: ignore[union-attr]
        assert len(unfenced) <= 1

    @invariant()
    def at_most_one_replica_trusts_its_term_unless_the_lease_was_deleted(self) -> None:
        if not self.deleted:
            assert sum(replica.elector.term is not None for replica in self.replicas) <= 1

    @invariant()
    def whoever_leads_took_its_epoch(self) -> None:
        for replica in self.replicas:
            term = replica.elector.term
            if term is not None:
                assert (term.epoch, term.holder) in self.shared.taken

    def teardown(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self._settle()
        self.loop.close()


def test_no_order_of_events_lets_two_lead() -> None:
    run_state_machine_as_test(
        Election,
        settings=settings(
            max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

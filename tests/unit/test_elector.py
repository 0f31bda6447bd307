"""The elector on a clock that moves only when told to, with a lease and a fence that can be broken."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from catalog_server.leadership import Elector, Term, Timing
from support.fake_lease import Connection, FakeClock, Shared, lead_until_cancelled

TIMING = Timing(lease_seconds=15, renew_deadline_seconds=10, retry_seconds=2)


class Replica:
    """An elector with its connection and its clock."""

    def __init__(
        self, shared: Shared, name: str, lead: Callable[[Term], Awaitable[None]] = lead_until_cancelled
    ) -> None:
        self.name = name
        self.clock = FakeClock()
        self.connection = Connection(shared)
        self.elector = Elector(
            backend=self.connection,
            epochs=self.connection,
            identity=name,
            timing=TIMING,
            lead=lead,
            clock=self.clock,
            draw=lambda: 0.0,
        )

    @property
    def epoch(self) -> int | None:
        """Of the term it may act in now."""
        return self.elector.term.epoch if self.elector.term else None

    async def attempt(self) -> None:
        await self.elector.attempt()


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def a(shared: Shared) -> Replica:
    return Replica(shared, "a")


@pytest.fixture
def b(shared: Shared) -> Replica:
    return Replica(shared, "b")


def later(seconds: float, *replicas: Replica) -> None:
    for replica in replicas:
        replica.clock.now += seconds


def losing(name: str) -> Callable[[str], Awaitable[None]]:
    """Loses the named call, or its answer, once."""
    left = [name]

    async def lose(call: str) -> None:
        if call in left:
            left.remove(call)
            raise TimeoutError(f"{call} lost")

    return lose


async def test_the_first_to_look_leads_and_the_second_waits(a: Replica, b: Replica) -> None:
    await a.attempt()
    await b.attempt()
    assert (a.epoch, b.epoch) == (1, None)


async def test_a_lease_that_is_renewed_is_not_taken(a: Replica, b: Replica) -> None:
    for _ in range(20):
        await a.attempt()
        await b.attempt()
        later(2, a, b)
    assert (a.epoch, b.epoch) == (1, None)


async def test_a_silent_leader_is_succeeded_after_the_lease_under_a_higher_epoch(a: Replica, b: Replica) -> None:
    await a.attempt()
    await b.attempt()
    later(14.9, a, b)
    await b.attempt()
    assert b.epoch is None
    later(0.1, a, b)
    await b.attempt()
    assert b.epoch == 2


async def test_trust_ends_before_anyone_can_take_over(a: Replica, b: Replica) -> None:
    await a.attempt()
    await b.attempt()
    later(TIMING.lease_seconds - TIMING.margin_seconds, a, b)
    assert a.epoch is None
    await b.attempt()
    assert b.epoch is None, "not before the whole lease has passed"


async def test_trust_counts_from_the_start_of_the_attempt_however_slow_its_answer(a: Replica) -> None:
    async def slow(call: str) -> None:
        if call == "write":
            later(8, a)

    a.connection.after = slow
    await a.attempt()
    later(TIMING.lease_seconds - TIMING.margin_seconds - 8, a)
    assert a.epoch is None


async def test_the_lease_is_watched_from_when_its_change_was_seen(a: Replica, b: Replica) -> None:
    await a.attempt()

    async def slow(call: str) -> None:
        if call == "get":
            later(5, a, b)  # the answer is old when it arrives; the holder may have renewed since

    b.connection.after = slow
    await b.attempt()
    later(14, a, b)
    b.connection.after = losing("nothing")
    await b.attempt()
    assert b.epoch is None


async def test_a_leader_that_cannot_renew_ends_its_loops_at_the_renew_deadline(shared: Shared) -> None:
    ended = asyncio.Event()

    async def lead(term: Term) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    a = Replica(shared, "a", lead)
    await a.attempt()
    await asyncio.sleep(0)

    async def unreachable(call: str) -> None:
        raise TimeoutError("no answer")

    a.connection.before = unreachable
    later(9.9, a)
    await a.attempt()
    assert not ended.is_set()
    later(0.1, a)
    await a.attempt()
    assert ended.is_set()
    assert a.epoch is None


async def test_a_leader_whose_backend_was_away_for_a_moment_goes_on(a: Replica) -> None:
    await a.attempt()
    later(2, a)
    a.connection.before = losing("get")
    await a.attempt()
    later(2, a)
    await a.attempt()
    later(9, a)
    assert a.epoch == 1


async def test_a_lost_answer_to_the_winning_swap_is_found_to_be_ones_own_lease(
    shared: Shared, a: Replica, b: Replica
) -> None:
    a.connection.after = losing("write")
    await a.attempt()
    assert a.epoch is None
    await b.attempt()
    assert b.epoch is None, "a holds the lease, although it does not know yet"
    await a.attempt()
    assert a.epoch == 2, "an epoch that may have been seen is not used again"
    assert shared.taken == [(2, "a")]


async def test_a_lost_answer_to_raising_the_epoch_costs_an_epoch_and_nothing_else(shared: Shared, a: Replica) -> None:
    a.connection.after = losing("raise")
    await a.attempt()
    assert a.epoch is None
    await a.attempt()
    assert a.epoch == 2
    assert shared.taken == [(1, "a"), (2, "a")]


async def test_a_winner_paused_before_it_took_its_epoch_does_not_lead_after_a_successor(
    shared: Shared, a: Replica, b: Replica
) -> None:
    async def succeeded_meanwhile(call: str) -> None:
        if call == "raise":
            a.connection.before = losing("nothing")
            await b.attempt()  # sees a's lease
            later(15, a, b)
            await b.attempt()

    a.connection.before = succeeded_meanwhile
    await a.attempt()
    assert (a.epoch, b.epoch) == (None, 2)
    assert shared.epoch == 2
    assert shared.taken == [(2, "b")]


async def test_a_winner_paused_for_the_renew_deadline_renews_before_it_leads(shared: Shared, a: Replica) -> None:
    async def paused(call: str) -> None:
        if call == "raise":
            later(12, a)

    a.connection.after = paused
    await a.attempt()
    assert a.epoch is None
    a.connection.after = losing("nothing")
    await a.attempt()
    assert a.epoch is not None


async def test_a_lease_deleted_by_hand_never_takes_epochs_back(shared: Shared, a: Replica, b: Replica) -> None:
    await a.attempt()
    for _ in range(3):
        shared.lease = None
        await b.attempt()
        later(2, a, b)
        await a.attempt()
        shared.lease = None
        await a.attempt()
        later(2, a, b)
        await b.attempt()
    epochs = [epoch for epoch, _ in shared.taken]
    assert epochs == sorted(set(epochs))
    assert len(epochs) == 7


async def test_an_epoch_that_went_ahead_of_the_lease_is_overtaken(shared: Shared, a: Replica) -> None:
    async def overtaken(call: str) -> None:
        if call == "write":
            shared.epoch = 7  # after it was read, before the lease is written

    a.connection.before = overtaken
    await a.attempt()
    assert a.epoch is None
    a.connection.before = losing("nothing")
    await a.attempt()
    assert a.epoch == 8
    assert shared.lease is not None
    assert shared.lease.epoch == 8


async def test_a_winner_that_can_not_reach_the_database_leaves_the_lease_to_others(a: Replica, b: Replica) -> None:
    cut_off = False

    async def lose_the_database(call: str) -> None:
        nonlocal cut_off
        cut_off = cut_off or call == "raise"
        if cut_off and call in ("current", "raise"):
            raise ConnectionError("the database is away, the lease is not")

    a.connection.before = lose_the_database
    for _ in range(10):
        await a.attempt()
        await b.attempt()
        later(2, a, b)
    assert (a.epoch, b.epoch) == (None, 2)


async def test_of_two_that_take_the_lease_at_once_one_leads(shared: Shared, a: Replica, b: Replica) -> None:
    async def race(call: str) -> None:
        if call == "write":
            a.connection.before = losing("nothing")
            await b.attempt()

    a.connection.before = race
    await a.attempt()
    assert (a.epoch, b.epoch) == (None, 1)


async def test_a_leader_that_stops_ends_its_loops_before_it_releases_the_lease(shared: Shared) -> None:
    order: list[str] = []

    async def lead(term: Term) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            order.append("loops ended")

    a, b = Replica(shared, "a", lead), Replica(shared, "b")
    a.clock.sleep = lambda seconds: asyncio.Event().wait()  # type: ignore[method-assign]

    async def note(call: str) -> None:
        if call == "write":
            assert shared.lease is not None
            order.append("released" if not shared.lease.holder else "written")

    a.connection.after = note
    running = asyncio.create_task(a.elector.run())
    while a.epoch is None:  # noqa: ASYNC110  (the attempt has no event of its own)
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    await a.elector.stop()
    await running
    assert order == ["written", "loops ended", "released"]
    await b.attempt()
    assert b.epoch == 2, "a released lease is taken at once"


async def test_a_leader_whose_loops_end_by_themselves_begins_a_new_term(shared: Shared) -> None:
    terms: list[int] = []
    twice = asyncio.Event()

    async def lead(term: Term) -> None:
        terms.append(term.epoch)
        if len(terms) == 2:
            twice.set()
            await asyncio.Event().wait()

    a = Replica(shared, "a", lead)
    a.clock.sleep_until = lambda at: asyncio.sleep(0.001)  # type: ignore[method-assign]
    shared_epoch_ahead = asyncio.create_task(a.elector.run())
    async with asyncio.timeout(10):
        await twice.wait()
    await a.elector.stop()
    await shared_epoch_ahead
    assert terms[1] > terms[0]


@pytest.mark.parametrize(("lease", "renew", "retry"), [(10, 10, 2), (15, 2.4, 2), (15, 10, 10), (15, 10, 0)])
def test_timings_in_which_two_could_lead_are_refused(lease: float, renew: float, retry: float) -> None:
    with pytest.raises(ValueError, match="must be longer"):
        Timing(lease, renew, retry)

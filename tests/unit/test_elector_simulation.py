"""The elector on simulated time: see `support.election_simulation`. The defaults are 15/10/2 seconds."""

from collections.abc import Callable, Iterator

import pytest

from catalog_server.leadership import Timing
from support.election_simulation import QUANTUM_SECONDS, Fault, Replica, Simulation

TIMING = Timing()
TAKE_OVER_SECONDS = TIMING.lease_seconds + TIMING.retry_seconds
NewSimulation = Callable[..., Simulation]


@pytest.fixture
def simulate() -> Iterator[NewSimulation]:
    made: list[Simulation] = []

    def new(*args: object, **settings: object) -> Simulation:
        made.append(Simulation(*args, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield new
    for simulation in made:
        simulation.close()


@pytest.fixture
def simulation(simulate: NewSimulation) -> Simulation:
    return simulate()


def successor_of(simulation: Simulation, former: Replica, seconds: float = TAKE_OVER_SECONDS) -> Replica:
    """Runs until another leads; fails if that takes longer."""
    simulation.run(seconds + QUANTUM_SECONDS, until=lambda: simulation.leader() not in (None, former))
    leader = simulation.leader()
    assert leader is not None
    return leader


def assert_epochs_grew(simulation: Simulation) -> None:
    epochs = [term.epoch for term in simulation.began]
    assert epochs == sorted(set(epochs)), "an epoch came back"


# --- Taking and keeping ---


def test_of_three_one_leads_and_stays(simulation: Simulation) -> None:
    leader = simulation.elect()
    simulation.run(120)
    assert simulation.leader() is leader
    assert len(simulation.began) == 1


@pytest.mark.parametrize(
    ("lease", "renew", "retry"), [(10, 10, 2), (9, 10, 2), (15, 2.4, 2), (15, 2, 2), (0, 0, 0), (-15, -10, -2)]
)
def test_unsafe_timing_is_refused(lease: float, renew: float, retry: float) -> None:
    with pytest.raises(ValueError, match="must be longer"):
        Timing(lease, renew, retry)


@pytest.mark.parametrize("renew", [0.2, 5, 10, 14, 14.9, 14.999])
def test_the_renew_deadline_ends_before_trust_and_trust_before_the_lease(renew: float) -> None:
    timing = Timing(15, renew, 0.1)
    assert renew < 15 - timing.margin_seconds < 15


def test_a_silent_leader_is_succeeded_after_the_lease_and_not_before(simulation: Simulation) -> None:
    leader = simulation.elect()
    simulation.run(20)
    leader.paused = True
    paused_at = simulation.now
    simulation.run(TIMING.lease_seconds - TIMING.retry_seconds)
    assert simulation.leader() is None
    successor_of(simulation, leader, paused_at + TAKE_OVER_SECONDS - simulation.now)
    assert_epochs_grew(simulation)


def test_a_slow_backend_that_still_answers_costs_no_term(simulation: Simulation) -> None:
    leader = simulation.elect()
    for _ in range(10):
        leader.database.faults = ["frozen", "frozen"]  # two renewals in a row time out, the third is in time
        simulation.run(9)
    assert simulation.leader() is leader
    assert len(simulation.began) == 1


# --- Losing ---


@pytest.mark.parametrize("renew_seconds", [5, 10, 13, 14.5])
@pytest.mark.parametrize("frozen_after_seconds", [0.1, 0.9, 1.5, 1.9])
def test_a_frozen_backend_ends_the_loops_at_the_renew_deadline(
    simulate: NewSimulation, frozen_after_seconds: float, renew_seconds: float
) -> None:
    simulation = simulate(timing=Timing(15, renew_seconds, 2))
    leader = simulation.elect()
    simulation.run(10 + frozen_after_seconds)
    for replica in simulation.replicas:
        replica.database.frozen = True
    simulation.run(renew_seconds + QUANTUM_SECONDS)
    assert not leader.acting
    simulation.run(60)
    assert simulation.leader() is None
    for replica in simulation.replicas:
        replica.database.frozen = False
    simulation.run(TAKE_OVER_SECONDS, until=simulation.leader)
    assert_epochs_grew(simulation)


def test_loops_that_end_slowly_end_before_a_successor_begins(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.drain_seconds = 3.5  # lease 15 - margin 1 - renew deadline 10 = 4 s are left to them
    leader.database.frozen = True
    successor_of(simulation, leader, 30)  # `check` counts the sets of loops all the time


def test_loops_that_do_not_end_are_fenced_and_keep_their_replica_from_leading(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.drain_seconds = 1000
    simulation.tampered = True  # two sets of loops run: that is what the fence is for
    leader.database.frozen = True
    simulation.run(11)
    leader.database.frozen = False
    successor = successor_of(simulation, leader)
    assert leader.acting
    assert not leader.write()
    for other in simulation.others(leader):
        other.paused = True
    simulation.run(60)
    assert simulation.leader() is None
    assert len(leader.acting) == 1
    successor.paused = False
    assert successor_of(simulation, leader) is successor


@pytest.mark.parametrize("holder", ["somebody else", "''"])
def test_a_lease_taken_or_released_by_hand_ends_the_term_at_the_next_look(simulation: Simulation, holder: str) -> None:
    leader = simulation.elect()
    term = leader.term
    simulation.tampered = True
    simulation.execute(f"UPDATE leadership_leases SET holder = '{holder.strip(chr(39))}', version = version + 1")
    simulation.run(TIMING.retry_seconds + QUANTUM_SECONDS)
    assert leader.term != term
    simulation.run(2 * TAKE_OVER_SECONDS, until=simulation.leader)
    assert_epochs_grew(simulation)


# --- Pauses ---


def test_a_paused_leader_does_not_trust_its_term_when_it_wakes(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.paused = True
    successor = successor_of(simulation, leader)
    assert leader.acting, "it does not know yet"
    assert leader.term is None
    assert not leader.write(), "its first write after the pause was not refused"
    leader.paused = False
    simulation.run(TIMING.retry_seconds)
    assert not leader.acting
    assert simulation.leader() is successor


def test_trust_ends_while_paused_even_if_nobody_takes_over(simulation: Simulation) -> None:
    leader = simulation.elect()
    simulation.advance(TIMING.lease_seconds - 1)
    assert leader.term is None


def test_trust_counts_from_the_start_of_the_renewal_not_from_its_answer(simulate: NewSimulation) -> None:
    """A renewal paused between its effect and its answer must not prolong trust by the pause."""
    simulation = simulate(2)
    leader = simulation.elect()
    (other,) = simulation.others(leader)
    simulation.run(1)
    renewed = simulation.lease()
    simulation.advance(1.0)
    leader.step_until(lambda: simulation.lease() != renewed, "the renewal")
    other.settle()
    leader.paused = True
    simulation.run(9.5)  # within the renew deadline, so that the answer still counts
    leader.paused = False
    simulation.run(0)
    leader.paused = True
    simulation.run(TAKE_OVER_SECONDS, until=lambda: other.term)  # `check`: never two who trust


@pytest.mark.parametrize("successor_exists", [False, True])
def test_a_winner_paused_before_it_took_its_epoch_does_not_lead_when_it_wakes(
    simulate: NewSimulation, successor_exists: bool
) -> None:
    simulation = simulate()
    winner = simulation.replicas[0]
    winner.step_until(simulation.lease, "the win")
    assert simulation.epoch() == 0, "it took its epoch already"
    winner.paused = True
    if successor_exists:
        successor = successor_of(simulation, winner)
        assert successor.term is not None
        assert successor.term.epoch == 2, "the epoch does not follow the lease's order"
    else:
        simulation.advance(TIMING.lease_seconds)
    winner.paused = False
    winner.settle()
    assert winner.term is None
    assert not winner.acting
    simulation.run(60)
    assert simulation.leader() is not None
    assert_epochs_grew(simulation)


def test_of_two_paused_winners_the_later_one_has_the_later_epoch(simulation: Simulation) -> None:
    """The second wins while the first has not taken its epoch; the second takes its own first."""
    first, second, _ = simulation.replicas
    first.step_until(simulation.lease, "the first win")
    simulation.tampered = True
    simulation.execute("UPDATE leadership_leases SET holder = '', version = version + 1")  # no wait for the lease
    second.step_until(lambda: (lease := simulation.lease()) and lease.holder == second.identity, "the second win")
    second.step_until(lambda: second.acting, "the second's term")
    assert second.term is not None
    first.settle()
    assert not first.acting
    assert second.write()
    assert simulation.epoch() == second.term.epoch == 2


# --- Lost answers and late effects ---


@pytest.mark.parametrize("fault", ["answer lost", "late", "frozen", "refused"])
@pytest.mark.parametrize("call", range(5))
def test_a_winner_whose_call_failed_leads_soon_with_an_epoch_that_grew(
    simulate: NewSimulation, fault: Fault, call: int
) -> None:
    """The calls of a winner: look, current epoch, swap, raise; then the first renewal."""
    simulation = simulate(1)
    (replica,) = simulation.replicas
    answered: list[Fault | None] = [None] * call
    replica.database.faults = [*answered, fault]  # type: ignore[list-item]
    simulation.run(3 * TIMING.retry_seconds, until=simulation.leader)
    replica.database.land()
    simulation.run(30)
    assert simulation.leader() is replica
    assert_epochs_grew(simulation)


def test_a_lost_answer_to_the_winning_swap_is_known_as_ones_own_at_the_next_look(simulate: NewSimulation) -> None:
    simulation = simulate(2)
    replica, other = simulation.replicas
    other.paused = True
    replica.database.faults = [None, None, "answer lost"]  # type: ignore[list-item]
    simulation.run(0)
    lease = simulation.lease()
    assert lease is not None
    assert lease.holder == replica.identity
    other.paused = False
    simulation.run(2 * TIMING.retry_seconds, until=lambda: replica.term)
    assert [term.epoch for term in simulation.began] == [2]


def test_a_lost_answer_to_the_raise_costs_an_epoch_not_the_term(simulate: NewSimulation) -> None:
    simulation = simulate(1)
    (replica,) = simulation.replicas
    replica.database.faults = [None, None, None, "answer lost"]  # type: ignore[list-item]
    simulation.run(3 * TIMING.retry_seconds, until=simulation.leader)
    assert replica.term is not None
    assert replica.term.epoch == simulation.epoch() == 2
    lease = simulation.lease()
    assert lease is not None
    assert lease.epoch == 2, "the lease does not carry the epoch taken"


# --- By hand ---


def test_a_deleted_lease_never_makes_epochs_go_back(simulation: Simulation) -> None:
    for _ in range(5):
        before = simulation.elect().term
        simulation.delete_lease()
        assert before is not None
        simulation.run(2 * TIMING.retry_seconds, until=lambda epoch=before.epoch: simulation.epoch() > epoch)
    assert_epochs_grew(simulation)
    assert simulation.epoch() >= 6


def test_a_leader_whose_lease_was_deleted_is_fenced_by_its_successor_at_once(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.paused = True
    simulation.delete_lease()
    successor = successor_of(simulation, leader, TIMING.retry_seconds)
    assert leader.term is not None, "it still trusts its term: only the fence can tell"
    assert not leader.write()
    assert successor.write()


def test_a_lease_restored_with_an_old_epoch_is_not_led_under(simulation: Simulation) -> None:
    leader = simulation.elect()
    simulation.tampered = True
    simulation.execute("UPDATE leadership_epochs SET epoch = 41")
    simulation.execute("UPDATE leadership_leases SET holder = '', version = version + 1")
    simulation.run(TIMING.retry_seconds, until=simulation.leader)
    assert simulation.epoch() == 42
    assert not any(simulation.write(term) for term in leader.acting if term.epoch != 42)


# --- Clocks ---


@pytest.mark.parametrize("year", ["1999", "2999"])
def test_wall_clocks_in_the_lease_are_not_looked_at(simulation: Simulation, year: str) -> None:
    leader = simulation.elect()
    for _ in range(20):
        simulation.execute(f"UPDATE leadership_leases SET renewed_at = '{year}-01-01', acquired_at = '{year}-01-01'")
        simulation.run(1)
    assert simulation.leader() is leader
    leader.paused = True
    simulation.execute(f"UPDATE leadership_leases SET renewed_at = '{year}-01-01', acquired_at = '{year}-01-01'")
    simulation.run(TIMING.lease_seconds - TIMING.retry_seconds)
    assert simulation.leader() is None
    successor_of(simulation, leader)


@pytest.mark.parametrize("rates", [(0.97, 1.03, 1.03), (1.03, 0.97, 0.97)])
def test_clocks_that_run_at_slightly_different_rates_make_no_two_leaders(
    simulate: NewSimulation, rates: tuple[float, ...]
) -> None:
    simulation = simulate(rates=rates)
    for _ in range(5):
        leader = simulation.elect()
        leader.paused = True
        simulation.run(30, until=lambda leader=leader: simulation.leader() not in (None, leader))
        leader.paused = False
    assert_epochs_grew(simulation)


def test_a_holder_with_a_longer_lease_is_waited_for_as_long(simulate: NewSimulation) -> None:
    simulation = simulate()
    simulation.execute(
        "INSERT INTO leadership_leases VALUES ('catalog-server', 'configured otherwise', 7, 60, 1, '', '')"
    )
    simulation.run(58)
    assert simulation.leader() is None
    simulation.run(5, until=simulation.leader)
    assert simulation.epoch() == 8


# --- Stopping ---


def test_a_leader_that_stops_is_succeeded_within_a_retry_period(simulation: Simulation) -> None:
    leader = simulation.elect()
    simulation.run(7)
    leader.spawn(leader.elector.stop())
    successor_of(simulation, leader, TIMING.retry_seconds)
    assert_epochs_grew(simulation)


def test_loops_end_before_the_lease_is_released(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.drain_seconds = 0.5
    leader.spawn(leader.elector.stop())
    simulation.run(0)
    lease = simulation.lease()
    assert leader.acting
    assert lease is not None
    assert lease.holder == leader.identity
    successor_of(simulation, leader, 0.5 + TIMING.retry_seconds)  # `check` counts the sets of loops


def test_a_lease_is_not_released_over_loops_that_do_not_end(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.drain_seconds = 5
    stopped = leader.spawn(leader.elector.stop())
    simulation.run(TIMING.retry_seconds, until=stopped.done)
    lease = simulation.lease()
    assert lease is not None
    assert lease.holder == leader.identity
    successor_of(simulation, leader)


@pytest.mark.parametrize("await_number", range(14))
def test_stopping_at_any_moment_leaves_no_lease_behind(simulate: NewSimulation, await_number: int) -> None:
    """Also between winning the lease and beginning the term."""
    simulation = simulate(1)
    (replica,) = simulation.replicas
    for _ in range(await_number):
        replica.loop.step()
    stopped = replica.spawn(replica.elector.stop())
    replica.settle()
    assert stopped.done()
    lease = simulation.lease()
    assert lease is None or lease.holder == ""
    assert not replica.acting


def test_stopping_ends_in_time_although_the_backend_is_frozen(simulation: Simulation) -> None:
    leader = simulation.elect()
    for replica in simulation.replicas:
        replica.database.frozen = True
    stopped = [replica.spawn(replica.elector.stop()) for replica in simulation.replicas]
    simulation.run(2 * TIMING.retry_seconds, until=lambda: all(task.done() for task in stopped))
    assert not leader.acting


def test_loops_that_end_by_themselves_hand_the_lease_over(simulation: Simulation) -> None:
    leader = simulation.elect()
    leader.end_loops()
    successor_of(simulation, leader, TIMING.retry_seconds)
    assert_epochs_grew(simulation)


# --- A lease that is held without leading ---


def test_loops_that_do_not_end_get_no_second_set_beside_them_when_the_lease_is_deleted(simulate: NewSimulation) -> None:
    simulation = simulate(1)
    leader = simulation.elect()
    leader.drain_seconds = 1000
    simulation.delete_lease()
    simulation.run(30)
    assert len(leader.acting) == 1
    assert leader.term is None


# --- A process that is paused between two of its own steps ---


@pytest.mark.parametrize("await_number", range(14))
def test_a_leader_paused_at_any_await_ends_its_loops_as_soon_as_it_wakes(
    simulate: NewSimulation, await_number: int
) -> None:
    """Also where it was about to begin its loops, or to sleep until its next attempt."""
    simulation = simulate(2)
    winner, successor = simulation.replicas
    successor.paused = True
    for _ in range(await_number):
        winner.loop.step()
    winner.paused, successor.paused = True, False
    successor_of(simulation, winner, 2 * TAKE_OVER_SECONDS)
    winner.paused = False
    simulation.run(0)
    assert not winner.acting
    assert_epochs_grew(simulation)


@pytest.mark.parametrize("await_number", range(8))
def test_a_leader_paused_at_any_await_of_a_renewal_ends_its_loops_as_soon_as_it_wakes(
    simulate: NewSimulation, await_number: int
) -> None:
    simulation = simulate(2)
    leader = simulation.elect()
    leader.paused = True
    simulation.run(TIMING.retry_seconds)
    for _ in range(await_number):
        leader.loop.step()
    successor_of(simulation, leader)
    leader.paused = False
    simulation.run(0)
    assert not leader.acting

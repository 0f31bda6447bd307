"""Electors under schedules that Hypothesis makes up: pauses at any `await`, lost answers, calls that land late,
time that passes for some, leases deleted by hand, clocks at different rates."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.election_simulation import Simulation

REPLICAS = st.integers(0, 2)
FAULTS = st.lists(st.sampled_from(["frozen", "answer lost", "late", "refused", None]), min_size=1, max_size=4)
RATES = st.tuples(*[st.floats(0.98, 1.02)] * 3)


class Elections(RuleBasedStateMachine):
    """Three electors. `run` lets all that are not paused go on; `step` is one round of one event loop."""

    simulation: Simulation

    @initialize(rates=RATES)
    def begin(self, rates: tuple[float, ...]) -> None:
        self.simulation = Simulation(rates=rates)
        self.epoch = 0
        self.seen: dict[int, str] = {}

    @rule(number=REPLICAS, rounds=st.integers(1, 8))
    def step(self, number: int, rounds: int) -> None:
        for _ in range(rounds):
            self.simulation.replicas[number].loop.step()

    @rule(number=REPLICAS)
    def pause(self, number: int) -> None:
        self.simulation.replicas[number].paused = True

    @rule(number=REPLICAS)
    def wake(self, number: int) -> None:
        self.simulation.replicas[number].paused = False

    @rule(seconds=st.sampled_from([0.3, 2, 8, 16]))
    def run_all(self, seconds: float) -> None:
        self.simulation.run(seconds)

    @rule(seconds=st.sampled_from([0.5, 1.5, 5, 9.5, 14.5, 20]))
    def time_passes_for_nobody(self, seconds: float) -> None:
        self.simulation.advance(seconds)

    @rule(number=REPLICAS, faults=FAULTS)
    def calls_will_fail(self, number: int, faults: list) -> None:  # type: ignore[type-arg]
        self.simulation.replicas[number].database.faults = faults

    @rule(number=REPLICAS)
    def late_calls_land(self, number: int) -> None:
        self.simulation.replicas[number].database.land()

    @rule(number=REPLICAS)
    def write(self, number: int) -> None:
        """Whatever the replica believes: its loops run, so they may write."""
        for term in self.simulation.replicas[number].acting:
            newest = self.simulation.epoch()
            assert self.simulation.write(term) == (term.epoch == newest)

    @rule()
    def delete_the_lease(self) -> None:
        self.simulation.delete_lease()

    @rule(number=REPLICAS)
    def end_loops(self, number: int) -> None:
        self.simulation.replicas[number].end_loops()

    @invariant()
    def epochs_only_grow(self) -> None:
        epoch = self.simulation.epoch()
        assert epoch >= self.epoch
        self.epoch = epoch

    @invariant()
    def an_epoch_has_one_holder_and_begins_once(self) -> None:
        epochs = [term.epoch for term in self.simulation.began]
        assert len(epochs) == len(set(epochs))
        if not self.simulation.tampered:
            assert epochs == sorted(epochs), "a term began after its successor"

    @invariant()
    def at_most_one_trusts_its_term_unless_the_lease_was_deleted(self) -> None:
        trusting = [replica for replica in self.simulation.replicas if replica.term]
        assert self.simulation.tampered or len(trusting) <= 1

    @invariant()
    def at_most_one_trusts_its_term_and_is_not_fenced(self) -> None:
        self.simulation.leader()

    @invariant()
    def writes_are_in_the_order_of_terms(self) -> None:
        epochs = [epoch for epoch, _ in self.simulation.ledger()]
        assert epochs == sorted(epochs)

    def teardown(self) -> None:
        """When all goes well again, one leads, and soon."""
        if not hasattr(self, "simulation"):
            return
        try:
            for replica in self.simulation.replicas:
                replica.paused = False
                replica.database.faults.clear()
            self.simulation.run(35, until=self.simulation.leader)
            leader = self.simulation.leader()
            assert leader is not None
            assert leader.write()
        finally:
            self.simulation.close()


TestElections = Elections.TestCase
TestElections.settings = settings(
    max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)

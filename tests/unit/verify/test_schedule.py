"""Random schedules of faults."""

from random import Random

import pytest

from ha_verify.faults import catalogue
from ha_verify.faults.schedule import RANDOM, RECOVERY_MIN_SECONDS, Planned, draw, possible
from ha_verify.targets import Timing

TIMING = Timing()
CLASSES = {
    *("leader-kill", "leader-term", "leader-pause", "replica-kill", "replica-term", "replica-pause"),
    *("database-restart", "database-crash", "database-pause", "connections", "partition", "load-balancer"),
    *("disk", "clock", "cold-start", "scale", "roll"),
    *("leader-delete", "replica-delete", "drain", "node-pause", "api-server", "api-partition"),
}


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert draw(Random(7), 1800, TIMING) == draw(Random(7), 1800, TIMING)


def test_another_seed_gives_another_schedule() -> None:
    assert draw(Random(7), 1800, TIMING) != draw(Random(8), 1800, TIMING)


@pytest.mark.parametrize("seed", range(20))
def test_a_schedule_lasts_for_the_time_asked_for_and_no_fault_more(seed: int) -> None:
    def lasting(planned: list[Planned]) -> float:
        return sum(each.hold_seconds + RECOVERY_MIN_SECONDS for each in planned)

    planned = draw(Random(seed), 600, TIMING)
    assert lasting(planned[:-1]) < 600 <= lasting(planned)


def test_a_long_schedule_leaves_no_fault_out() -> None:
    assert {each.fault for each in draw(Random(1), 3600, TIMING)} == set(RANDOM)


def test_what_a_target_lacks_is_not_drawn() -> None:
    assert set(RANDOM) - set(possible(["orchestrator"])) == {
        *("delete-leader", "delete-replica", "drain-leaders-node", "pause-leaders-node", "api-server-outage"),
        "cut-leader-from-api",
    }
    assert "cut-replica-cut" not in possible(["cut connections"])
    assert possible([]) == RANDOM


def test_every_planned_fault_can_be_made_and_has_a_class_with_a_bound() -> None:
    for name in catalogue.FAULTS:
        (first, *_) = draw(Random(3), 600, TIMING, [name])
        assert first.make().class_ in CLASSES
        assert first.make().name


def test_an_unknown_fault_is_refused_with_its_name_and_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown are \['meteor'\]. Choose from: kill-leader"):
        draw(Random(1), 60, TIMING, ["kill-leader", "meteor"])

"""What a fault cost clients is told with the requests that failed, and from when each was due."""

import pytest

from ha_verify.report.cost import Cost, costs
from support.histories import HistoryMaker


def requested(maker: HistoryMaker, due: float, sent: float, answered: float, *, ok: bool = True) -> None:
    process = round(due * 10)
    maker.add(sent, "invoke", process, "read", {"path": "/", "intended_ns": round(due * 1e9)})
    maker.add(answered, "ok" if ok else "fail", process, "read", {"status": 200 if ok else 503})


@pytest.fixture
def seen() -> list[Cost]:
    """A calm second, then a fault at 2 s: one request stalls and one fails, with an answer in between."""
    maker = HistoryMaker()
    maker.add(0, "info", "run", "run", {"scenario": "made up"})
    requested(maker, 1.0, 1.0, 1.01)
    requested(maker, 1.5, 1.5, 1.51)
    fault = {"id": 1, "fault": "SIGKILL the leader", "class": "leader-kill"}
    maker.add(2.0, "invoke", "nemesis", "fault", fault)
    maker.add(2.1, "ok", "nemesis", "fault", fault | {"proof": {"replica": "r1"}})
    requested(maker, 2.5, 4.0, 4.5)
    requested(maker, 3.0, 3.0, 3.2, ok=False)
    requested(maker, 6.0, 6.0, 6.1)
    return costs(maker.history())


def test_requests_are_counted_from_one_fault_to_the_next(seen: list[Cost]) -> None:
    assert [(cost.fault, cost.requests, cost.failed) for cost in seen] == [
        ("before any fault", 2, 0),
        ("SIGKILL the leader, 2.0 s", 3, 1),
    ]


def test_a_stall_counts_from_when_the_request_was_due(seen: list[Cost]) -> None:
    assert seen[1].worst == pytest.approx(2000)


def test_a_failed_request_ends_no_gap_and_counts_among_the_latencies(seen: list[Cost]) -> None:
    assert seen[1].longest_gap == pytest.approx(1.6)
    assert seen[1].p50 == pytest.approx(200)

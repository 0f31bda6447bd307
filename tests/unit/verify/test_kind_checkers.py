"""How faults of an orchestrator are judged: loops without a lease, and what the load balancer may cost."""

from typing import Any

import pytest

from ha_verify.checkers import CHECKERS
from ha_verify.checkers.bounds import recovery
from ha_verify.findings import Finding
from ha_verify.targets import Timing
from support.histories import HistoryMaker, database_time

LEASE, STRUCK, HEALED, END = 15.0, 10.0, 40.0, 60.0
LEADER = "catalog-server-abc"
LATE = {"end_noticed": 8.0}


def run(class_: str, proof: dict[str, Any], *, timing: dict[str, float] | None = None) -> HistoryMaker:
    """A fault that was decided upon a second before it struck, and healed."""
    maker = HistoryMaker()
    maker.add(0, "info", "run", "run", {"timing": {"lease": LEASE, "drain": 2.0} | (timing or {})})
    value = {"id": 1, "fault": "the fault", "class": class_, "at": 0}
    proven = value | {"proof": proof | {"struck_at": database_time(STRUCK)}}
    maker.add(STRUCK - 1, "invoke", "nemesis", "fault", value)
    maker.add(STRUCK + 0.5, "ok", "nemesis", "fault", proven)
    maker.add(HEALED, "invoke", "nemesis", "heal", value)
    maker.add(HEALED + 1, "ok", "nemesis", "heal", value)
    maker.add(END, "info", "run", "phase", "final reads")
    return maker


def rounds(maker: HistoryMaker, *at: float, replica: str = LEADER) -> None:
    columns = ["id", "loop", "epoch", "holder", "at"]
    rows = [[number, "schedule", 1, f"{replica}/x", database_time(each)] for number, each in enumerate(at)]
    maker.add(END - 1, "info", "observer", "table", {"table": "singleton_ticks", "columns": columns, "rows": rows})


def judged(claim: str, maker: HistoryMaker) -> Finding:
    return CHECKERS[claim](maker.history())


@pytest.mark.parametrize(("class_", "proof"), [("api-partition", {"replica": LEADER}), ("api-server", {"led": LEADER})])
@pytest.mark.parametrize(
    ("last", "result"), [(STRUCK + LEASE - 0.1, "PASS"), (STRUCK + LEASE + 0.1, "FAIL"), (HEALED + 2, "PASS")]
)
def test_a_leader_that_can_not_renew_writes_no_round_when_its_lease_has_run_out(
    class_: str, proof: dict[str, Any], last: float, result: str
) -> None:
    maker = run(class_, proof)
    rounds(maker, STRUCK + 1, last)
    finding = judged("loops-stop", maker)
    assert (finding.result, finding.trials) == (result, 1)


def test_rounds_of_others_are_no_concern_of_the_leader_that_is_cut_off() -> None:
    maker = run("api-partition", {"replica": LEADER})
    rounds(maker, STRUCK + LEASE + 3, replica="another")
    assert judged("loops-stop", maker).result == "PASS"


def test_a_table_that_could_not_be_read_is_no_trial() -> None:
    assert judged("loops-stop", run("api-server", {"led": LEADER})).trials == 0


def read(maker: HistoryMaker, at: float, outcome: Any) -> None:
    maker.add(at, "invoke", 1, "read", {"path": "/", "intended_ns": round(at * 1e9)})
    told = {"status": 200, "replica": LEADER} if outcome == "ok" else None
    maker.add(at + 0.01, outcome, 1, "read", told, None if outcome == "ok" else "not connected")


@pytest.mark.parametrize(
    ("class_", "timing", "at", "result"),
    [
        ("leader-kill", LATE, STRUCK + 7, "PASS"),  # counted from the strike, not from the decision
        ("leader-kill", LATE, STRUCK + 9, "FAIL"),
        ("leader-kill", {}, STRUCK + 1, "FAIL"),
        ("leader-delete", LATE, STRUCK + 1, "FAIL"),
        ("drain", LATE, STRUCK + 1, "FAIL"),
        ("api-server", LATE, STRUCK + 1, "FAIL"),
    ],
)
def test_reads_may_fail_for_as_long_as_the_load_balancer_is_known_to_take(
    class_: str, timing: dict[str, float], at: float, result: str
) -> None:
    maker = run(class_, {"replica": LEADER}, timing=timing)
    read(maker, STRUCK - 5, "ok")
    read(maker, at, "fail")
    assert judged("available", maker).result == result


@pytest.mark.parametrize(
    ("class_", "timing", "result"),
    [("leader-delete", LATE, "FAIL"), ("leader-term", LATE, "PASS"), ("leader-term", {}, "FAIL")],
)
def test_writes_may_fail_only_where_the_load_balancer_is_not_told_of_the_end(
    class_: str, timing: dict[str, float], result: str
) -> None:
    maker = run(class_, {"replica": LEADER}, timing=timing)
    read(maker, STRUCK - 5, "ok")
    maker.add(STRUCK + 0.1, "invoke", 2, "write", {"value": "v", "intended_ns": round((STRUCK + 0.1) * 1e9)})
    maker.add(STRUCK + 0.2, "info", 2, "write", None, "answer lost")
    assert judged("available", maker).result == result


def test_a_target_that_repeats_requests_elsewhere_is_given_nothing_for_a_kill() -> None:
    assert recovery("leader-kill", Timing()).seconds == 0
    assert recovery("leader-kill", Timing(end_noticed=8)).seconds == 8

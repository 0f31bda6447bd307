"""How a database's members are judged: a good history passes, and each that is spoilt fails for its claim."""

from collections.abc import Mapping
from typing import Any

import pytest

from ha_verify.checkers import CHECKERS
from ha_verify.checkers.bounds import recovery
from ha_verify.findings import Finding
from ha_verify.report.failovers import OUTAGES, trials_of
from ha_verify.targets import Timing
from ha_verify.verdict import judge
from support.histories import HistoryMaker, database_time

TIMING = {"database_deadline": 1.5, "lease": 4.0, "retry": 0.5}
# The first member is lost at 10 s; the second takes writes from 14 s on; the first is back as a replica at 20 s.
BEGAN, STRUCK, WRITABLE, EFFECTIVE, HEALED, END = 9.0, 10.0, 14.0, 16.0, 20.0, 30.0
FIRST, SECOND, THIRD = "postgresql", "postgresql-2", "postgresql-3"
KEYS = ("one-writable-primary", "database-recovers", "rejoins", "no-restart")


class Run:
    """A fault and its healing, what the members said each second, and a write each tenth of a second."""

    def __init__(
        self,
        class_: str = "database-failover",
        *,
        proof: Mapping[str, Any] | None = None,
        timing: Mapping[str, Any] | None = None,
        outage: tuple[float, float] = (STRUCK, WRITABLE),
        fenced: float = STRUCK,
        returns: float = HEALED,
    ) -> None:
        """No write that is due during the `outage` is answered; the first member is silent between the last two."""
        self.maker = HistoryMaker()
        self.class_ = class_
        self.fenced, self.returns, self.outage = fenced, returns, outage
        self.maker.add(0, "info", "run", "run", {"timing": TIMING | dict(timing or {}), "claims": list(KEYS)})
        self._fault({"member": FIRST, "writable_at": database_time(WRITABLE)} if proof is None else proof)
        self._members()
        for tenth in range(int(END * 10)):
            self.write(tenth / 10)

    def _fault(self, proof: Mapping[str, Any]) -> None:
        value = {"id": 1, "fault": "the fault", "class": self.class_, "at": 0}
        self.maker.add(BEGAN, "invoke", "nemesis", "fault", value)
        proven = value | {"proof": {"struck_at": database_time(STRUCK)} | dict(proof)}
        self.maker.add(EFFECTIVE, "ok", "nemesis", "fault", proven)
        self.maker.add(HEALED - 1, "invoke", "nemesis", "heal", value)
        self.maker.add(HEALED, "ok", "nemesis", "heal", value)
        self.maker.add(END, "info", "run", "phase", "final reads")

    def _members(self) -> None:
        for second in range(1, int(END)):
            timeline = 1 if second < WRITABLE else 2
            for name in (FIRST, SECOND, THIRD):
                if name == FIRST and self.fenced <= second < self.returns:
                    self.look(second, name, error="refused")
                    continue
                leads = name == (FIRST if timeline == 1 else SECOND)
                self.look(second, name, "primary" if leads else "standby", timeline, follows=not leads)
                if leads:
                    self.take(second, name, timeline)

    def look(
        self,
        at: float,
        member: str,
        role: str = "primary",
        timeline: int = 1,
        *,
        asked: float | None = None,
        follows: bool = False,
        error: str | None = None,
    ) -> None:
        value: dict[str, Any] = {"member": member, "asked_ns": int((at if asked is None else asked) * 1e9)}
        if error is None:
            value |= {"role": role, "timeline": timeline, "lsn": 1, "follows": follows}
        self.maker.add(at, "info", "observer", "member", value, error)

    def take(self, at: float, member: str, timeline: int, *, asked: float | None = None) -> None:
        value = {"member": member, "asked_ns": int((at if asked is None else asked) * 1e9), "timeline": timeline}
        self.maker.add(at + 0.01, "info", "observer", "member write", value)

    def write(self, at: float) -> None:
        self.maker.add(at, "invoke", int(at * 10), "write", {"value": f"v{at}", "intended_ns": int(at * 1e9)})
        if self.outage[0] <= at < self.outage[1]:
            self.maker.add(at + 0.02, "info", int(at * 10), "write", None, "HTTP 503")
        else:
            self.maker.add(at + 0.02, "ok", int(at * 10), "write", {"job": 1})

    def judged(self, claim: str) -> Finding:
        return CHECKERS[claim](self.maker.history())

    def failed(self) -> set[str]:
        return {key for key in KEYS if self.judged(key).result == "FAIL"}


def test_a_good_history_passes_every_claim_with_trials() -> None:
    run = Run()
    assert {key: run.judged(key).result for key in KEYS} == dict.fromkeys(KEYS, "PASS")


def test_a_run_without_members_says_nothing_of_them() -> None:
    history = HistoryMaker().history()
    assert {CHECKERS[key](history).result for key in KEYS} == {"INCONCLUSIVE"}


def test_a_second_member_that_takes_a_write_on_the_same_timeline_is_found() -> None:
    run = Run()
    run.take(25.5, THIRD, 2)
    assert run.failed() == {"one-writable-primary"}


def test_a_second_primary_on_the_same_timeline_is_found_before_anybody_writes() -> None:
    run = Run()
    run.look(5.5, SECOND, "primary", 1)
    assert run.failed() == {"one-writable-primary"}


def test_a_write_on_a_timeline_that_was_succeeded_is_found() -> None:
    run = Run()
    run.take(18.0, FIRST, 1)
    assert run.failed() == {"one-writable-primary"}


def test_an_answer_that_comes_late_to_a_write_asked_for_before_is_none_of_a_former_primary() -> None:
    run = Run()
    run.take(18.0, FIRST, 1, asked=STRUCK - 0.5)
    assert not run.failed()


def test_a_former_primary_that_calls_itself_one_is_found_although_it_takes_no_write() -> None:
    run = Run()
    run.look(18.0, FIRST, "primary", 1)
    assert run.failed() == {"one-writable-primary"}


def test_a_former_primary_may_call_itself_one_for_as_long_as_it_takes_to_find_out() -> None:
    for last, failed in ((17.5, set()), (20.0, {"one-writable-primary"})):
        run = Run(timing={"database_fenced": 3.0}, returns=END)
        for half in range(int(2 * (last - 15)) + 1):
            run.look(15 + half / 2, FIRST, "primary", 1)
        run.look(END - 0.5, FIRST, "standby", 2, follows=True)
        assert run.failed() == failed


@pytest.mark.parametrize(
    ("last", "failover", "failed"),
    [
        (HEALED - 1.5, 29.0, set()),
        (HEALED + 1.0, 29.0, {"one-writable-primary"}),
        (HEALED - 1.5, None, {"one-writable-primary"}),
    ],
    ids=["until it is reached", "for long after", "although a person replaced it"],
)
def test_one_that_is_isolated_calls_itself_the_primary_until_a_program_reaches_it(
    last: float, failover: float | None, failed: set[str]
) -> None:
    run = Run("database-isolation", timing={"database_fenced": 1.0, "database_failover": failover}, returns=END)
    for half in range(int(2 * (last - 15)) + 1):
        run.look(15 + half / 2, FIRST, "primary", 1)
    run.look(END - 0.5, FIRST, "standby", 2, follows=True)
    assert run.failed() == failed


def test_one_that_is_isolated_acknowledges_nothing_after_its_successor_did() -> None:
    run = Run("database-isolation", timing={"database_failover": 29.0})
    run.take(HEALED - 2, FIRST, 1)
    assert run.failed() == {"one-writable-primary"}


@pytest.mark.parametrize(("failover", "failed"), [(29.0, set()), (None, {"database-recovers"})])
def test_clients_of_one_that_is_isolated_have_until_it_is_reached_again_unless_a_person_ended_it(
    failover: float | None, failed: set[str]
) -> None:
    run = Run("database-isolation", timing={"database_failover": failover}, outage=(STRUCK, HEALED + 1))
    assert run.failed() == failed


def test_what_a_former_primary_was_asked_before_its_successor_wrote_is_old_news() -> None:
    run = Run()
    run.look(18.0, FIRST, "primary", 1, asked=STRUCK - 1)
    assert not run.failed()


@pytest.mark.parametrize(
    ("noticed", "failover", "seconds"), [(60.0, 35.0, 60.0), (0.0, 35.0, 35.0), (60.0, None, 60.0)]
)
def test_with_the_primary_s_node_the_slower_of_two_things_counts(
    noticed: float, failover: float | None, seconds: float
) -> None:
    timing = Timing(node_noticed=noticed, database_failover=failover)
    bound = recovery("database-node", timing)
    assert (bound.anchor, bound.seconds) == ("struck", seconds + recovery("database-failover", timing).seconds)


def test_writes_that_fail_after_the_database_takes_them_again_for_longer_than_the_bound_are_found() -> None:
    bound = recovery("database-failover", Timing(database_deadline=1.5)).seconds
    assert not Run(outage=(STRUCK, WRITABLE + bound)).failed()
    run = Run(outage=(STRUCK, WRITABLE + bound + 0.5))
    assert run.failed() == {"database-recovers"}
    assert run.judged("database-recovers").measured == pytest.approx(bound + 0.4)


def test_writes_that_never_return_are_found() -> None:
    assert Run(outage=(STRUCK, END)).failed() == {"database-recovers"}


def test_how_long_no_write_was_acknowledged_is_a_figure_for_each_fault_in_the_report() -> None:
    history = Run().maker.history()
    (seconds,) = CHECKERS["database-recovers"](history).figures["the fault"]
    assert seconds == pytest.approx(WRITABLE - STRUCK + 0.1)
    trials = trials_of(OUTAGES, judge({"a": history}), {"a": history})
    assert [(trial.kind, trial.quantity) for trial in trials.each] == [("the fault", seconds)]


@pytest.mark.parametrize(("seconds", "failed"), [(4.1, set()), (3.9, {"database-recovers"})])
def test_a_program_that_replaces_the_primary_has_a_bound_of_its_own(seconds: float, failed: set[str]) -> None:
    assert Run(timing={"database_failover": seconds}).failed() == failed


@pytest.mark.parametrize(("seconds", "failed"), [(0.7, set()), (0.4, {"database-recovers"})])
def test_a_planned_switchover_has_a_bound_for_the_time_without_a_write(seconds: float, failed: set[str]) -> None:
    """3.5 s of it are for clients to find the new primary."""
    assert Run("database-switchover", timing={"database_switchover": seconds}).failed() == failed


@pytest.mark.parametrize(("seconds", "result"), [(27.4, "PASS"), (27.6, "FAIL")])
def test_a_replica_that_migrates_has_the_time_without_a_database_in_addition(seconds: float, result: str) -> None:
    """4 s without a database, 1.5 s and 2 s to connect to it, and 20 s for its start."""
    run = Run("database-and-migration")
    run.maker.add(END, "info", "observer", "startup", {"replica": "replica-1", "ready_after_seconds": seconds})
    assert run.judged("starts-up").result == result


def test_where_nobody_wrote_before_the_fault_there_is_no_outage_to_measure() -> None:
    finding = Run("database-and-migration", outage=(0, WRITABLE)).judged("database-recovers")
    assert (finding.result, finding.figures) == ("PASS", {})


def test_not_one_write_may_fail_while_a_replica_is_away() -> None:
    proof = {"member": FIRST}
    assert not Run("database-replica", proof=proof, outage=(0, 0)).failed()
    assert Run("database-replica", proof=proof, outage=(12.0, 12.1)).failed() == {"database-recovers"}


@pytest.mark.parametrize(("until", "failed"), [(12.9, set()), (13.2, {"database-recovers"})])
def test_where_a_program_names_who_confirms_writes_wait_until_it_names_another(until: float, failed: set[str]) -> None:
    timing = {"database_unconfirmed": 3.0}
    run = Run("database-replica", proof={"member": FIRST}, outage=(STRUCK, until), timing=timing)
    assert run.failed() == failed


def test_a_member_that_does_not_come_back_is_found() -> None:
    assert Run(returns=END).failed() == {"rejoins"}


def test_a_member_that_is_back_on_a_timeline_of_its_own_is_found() -> None:
    run = Run(returns=END)
    run.look(END - 0.5, FIRST, "standby", 1, follows=True)
    assert run.failed() == {"rejoins"}


def test_a_replica_that_was_restarted_is_found_unless_the_fault_ended_it() -> None:
    start = {"replica": "replica-1", "ready_after_seconds": 1.0}
    run = Run()
    run.maker.add(17.0, "info", "observer", "startup", start)
    assert run.failed() == {"no-restart"}
    proof = {"member": FIRST, "replica": "replica-1", "writable_at": database_time(WRITABLE)}
    with_leader = Run("database-and-leader", proof=proof)
    with_leader.maker.add(17.0, "info", "observer", "startup", start)
    assert not with_leader.failed()


@pytest.mark.parametrize(("after", "result"), [(11.9, "PASS"), (12.1, "FAIL")])
def test_a_leader_is_elected_within_its_bound_from_when_there_is_a_database_again(after: float, result: str) -> None:
    """4 s without a database, 1.5 s and 2 s to connect to it, 4 s of the lease, and 0.5 s to look again."""
    proof = {"member": FIRST, "replica": "replica-1", "writable_at": database_time(WRITABLE)}
    run = Run("database-and-leader", proof=proof)
    columns = ["epoch", "holder", "started_at", "ended_at"]
    rows = [[1, "h1", database_time(0), None], [2, "h2", database_time(STRUCK + after), None]]
    run.maker.add(END, "info", "observer", "table", {"table": "leadership_terms", "columns": columns, "rows": rows})
    assert run.judged("failover").result == result

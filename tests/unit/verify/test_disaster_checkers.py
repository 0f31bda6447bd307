"""How a disaster is judged: a good history of each method passes, and each that is spoilt fails for its claim."""

from collections.abc import Collection, Mapping
from typing import Any

import pytest

from ha_verify.checkers import CHECKERS
from ha_verify.findings import Finding
from ha_verify.history import History
from ha_verify.report.failovers import LOST_WRITES, RECOVERY_POINTS, RECOVERY_TIMES, trials_of
from ha_verify.verdict import judge
from support.histories import HistoryMaker, database_time

# The backup was begun at 4 s; the data are gone at 10.2 s; the runbook is followed from 11 s on; writes are kept again
# that are sent from 40 s on.
BEGAN, PREPARED, STRUCK, GONE, FOLLOWED, BACK, END = 3.0, 4.0, 10.0, 10.2, 11.0, 40.0, 50.0
ROWS = {"moment": "2026-05-28 20:26:50+00:00", "count": 100, "checksum": "7"}
CLAIMS = {method: ["rto", "rpo", "one-moment"] for method in ("failover", "archive", "dump")}
CLAIMS["moment"] = [*CLAIMS["archive"], "exact-moment"]


class Run:
    """A write each tenth of a second. `lost`: the tenths of those that were acknowledged and are not in the table."""

    def __init__(
        self,
        method: str,
        *,
        lost: Collection[int] = (),
        outage: tuple[float, float] = (GONE, BACK),
        proof: Mapping[str, Any] | None = None,
        timing: Mapping[str, float] | None = None,
        seen: bool = True,
    ) -> None:
        self.maker = HistoryMaker()
        self.name = f"a disaster, {method}"
        run = {"claims": CLAIMS[method], "rewinds": method != "failover", "timing": dict(timing or {})}
        self.maker.add(0, "info", "run", "run", run)
        self._fault(method, dict(proof or {}))
        stored = []
        for tenth in range(int(END * 10)):
            sent = tenth / 10
            answered = not outage[0] <= sent < outage[1]
            value = {"value": f"w{tenth}", "intended_ns": int(sent * 1e9)}
            self.maker.add(sent, "invoke", tenth, "write", value)
            self.maker.add(sent + 0.02, "ok" if answered else "fail", tenth, "write", {"job": tenth})
            if answered and tenth not in lost:
                stored.append([f"w{tenth}", database_time(sent)])
        if seen:
            table = {"table": "probes", "columns": ["value", "created_at"], "rows": stored}
            self.maker.add(END, "info", "observer", "table", table)

    def _fault(self, method: str, proof: dict[str, Any]) -> None:
        value = {"id": 1, "fault": self.name, "class": "disaster", "at": 0}
        times = {"struck_at": STRUCK, "gone_at": GONE, "began_at": FOLLOWED, "prepared_at": PREPARED}
        proven = {"method": method} | {key: database_time(at) for key, at in times.items()}
        proven |= {"rows": ROWS, "restored": ROWS} if method == "moment" else {}
        self.maker.add(BEGAN, "invoke", "nemesis", "fault", value)
        self.maker.add(BACK + 2, "ok", "nemesis", "fault", value | {"proof": proven | proof})

    def history(self) -> History:
        return self.maker.history()

    def find(self, key: str) -> Finding:
        return CHECKERS[key](self.history())


# Who returns to a moment gives up what was written after it, until writers are stopped at 12 s.
AFTER_THE_MOMENT = range(101, 120)


def good(method: str) -> Run:
    if method == "moment":
        return Run("moment", lost=AFTER_THE_MOMENT, outage=(12.0, BACK))
    if method == "dump":
        return Run("dump", lost=range(42, 102))
    return Run(method, lost=(100, 101) if method == "archive" else ())


@pytest.mark.parametrize("method", CLAIMS)
def test_a_good_history_upholds_every_claim_of_its_method(method: str) -> None:
    verdict = judge({"a": good(method).history()})
    judged = {claim.key: claim.result for claim in verdict.claims if claim.key in CLAIMS[method]}
    assert judged == dict.fromkeys(CLAIMS[method], "PASS"), [claim.violations for claim in verdict.claims]


@pytest.mark.parametrize(
    ("method", "bound", "rpo"), [("failover", 0, 0), ("archive", 1, 0.2), ("moment", 0, 0), ("dump", 6.2, 6.0)]
)
def test_what_is_lost_is_measured_from_the_newest_write_that_survived(method: str, bound: float, rpo: float) -> None:
    found = good(method).find("rpo")
    assert (found.measured, found.bound) == (pytest.approx(rpo), pytest.approx(bound))


def test_nobody_serves_again_before_a_write_is_kept() -> None:
    """Answers of a database that was thrown away again do not count."""
    assert good("archive").find("rto").measured == pytest.approx(BACK + 0.02 - STRUCK)
    early = Run("archive", lost=range(380, 410), outage=(GONE, 38.0))
    assert early.find("rto").measured == pytest.approx(41.02 - STRUCK)
    assert early.find("rpo").violations


def test_a_write_that_was_sent_while_the_data_were_being_destroyed_ends_no_outage() -> None:
    assert "w101" in {row["value"] for row in Run("failover").history().rows("probes")}
    assert Run("failover").find("rto").measured == pytest.approx(BACK + 0.02 - STRUCK)


SPOILT: list[tuple[str, str, Run]] = [
    ("a synchronous replica lacks a write", "rpo", Run("failover", lost=[100])),
    ("the archive lacks two seconds", "rpo", Run("archive", lost=range(80, 102))),
    ("the dump lacks what was there when it was begun", "rpo", Run("dump", lost=range(38, 102))),
    ("a write before the moment is missing", "rpo", Run("moment", lost=[99, *AFTER_THE_MOMENT], outage=(12, BACK))),
    ("there is a hole", "one-moment", Run("archive", lost=[95])),
    ("a write behind the recovery is missing", "one-moment", Run("archive", lost=[450])),
    ("nothing is served any more", "rto", Run("archive", outage=(GONE, END))),
    ("the runbook fails", "rto", Run("archive", proof={"failed": "restore.yml failed"})),
    ("the failover takes too long", "rto", Run("failover", timing={"database_replaced": 20})),
    ("other rows are restored", "exact-moment", Run("moment", proof={"restored": ROWS | {"checksum": "8"}})),
    ("nothing is restored", "exact-moment", Run("moment", proof={"restored": None})),
    ("a write behind the moment is there", "exact-moment", Run("moment", lost=range(101, 105), outage=(12, BACK))),
]


@pytest.mark.parametrize(("key", "run"), [spoilt[1:] for spoilt in SPOILT], ids=[spoilt[0] for spoilt in SPOILT])
def test_what_is_spoilt_is_found(key: str, run: Run) -> None:
    assert run.find(key).violations


@pytest.mark.parametrize("key", ["rto", "rpo", "one-moment", "exact-moment"])
def test_where_what_is_left_was_not_seen_or_nothing_was_lost_nothing_was_tried(key: str) -> None:
    assert CHECKERS[key](Run("moment", seen=False).history()).result == "INCONCLUSIVE"
    assert CHECKERS[key](History([])).result == "INCONCLUSIVE"


def test_a_run_that_goes_back_is_not_held_to_promises_of_a_database_that_goes_on() -> None:
    """It has lost writes, and is judged by how many it may lose."""
    assert {claim.key for claim in judge({"a": good("dump").history()}).claims} == set(CLAIMS["dump"])
    assert "writes-kept" in {claim.key for claim in judge({"a": good("failover").history()}).claims}


def test_the_report_shows_times_losses_and_bounds_by_disaster() -> None:
    run = good("dump")
    histories = {"a": run.history()}
    verdict = judge(histories)
    shown = [trials_of(change, verdict, histories) for change in (RECOVERY_TIMES, RECOVERY_POINTS, LOST_WRITES)]
    assert [[(trial.kind, round(trial.quantity, 2)) for trial in trials.each] for trials in shown] == [
        [(run.name, 30.02)],
        [(run.name, 6.0)],
        [(run.name, 60)],
    ]
    assert [{kind: round(bound, 2) for kind, bound in trials.bounds.items()} for trials in shown] == [
        {run.name: 3600},
        {run.name: 6.2},
        {},
    ]

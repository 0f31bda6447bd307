"""No checker passes a history with a violation in it, wherever that is and whatever else is wrong."""

from hypothesis import given, settings
from hypothesis import strategies as st

from ha_verify.checkers import CHECKERS
from support.good_history import BEGAN_WALL, CUT, END, GoodHistory
from unit.verify.test_checkers import SPOILS, failed

FEW = settings(max_examples=40, deadline=None)


@FEW
@given(st.permutations(range(len(SPOILS))), st.integers(1, 4))
def test_several_violations_do_not_hide_each_other(order: list[int], count: int) -> None:
    good = GoodHistory()
    claims = set()
    for number in order[:count]:
        claim, _, spoil = SPOILS[number]
        spoil(good)
        claims.add(claim)
    assert failed(good.make()) >= claims


@FEW
@given(st.integers(0, 4))
def test_whichever_acknowledged_write_is_lost_it_is_missed(number: int) -> None:
    good = GoodHistory()
    del good.tables["probes"][number]
    assert CHECKERS["writes-kept"](good.make()).result == "FAIL"


@FEW
@given(st.integers(0, 4), st.integers(1, 5))
def test_however_often_an_effect_is_repeated_it_is_counted(number: int, times: int) -> None:
    good = GoodHistory()
    effect = good.tables["probe_effects"][number]
    good.tables["probe_effects"] += [effect | {"id": 100 + time} for time in range(times)]
    assert CHECKERS["effects-once"](good.make()).result == "FAIL"


@FEW
@given(st.data())
def test_a_round_of_an_older_epoch_is_found_wherever_it_is_written(data: st.DataObject) -> None:
    good = GoodHistory()
    ticks = good.tables["singleton_ticks"]
    place = data.draw(st.integers(1, len(ticks) - 1))
    older = [row for row in ticks if row["epoch"] < ticks[place]["epoch"]]
    if not older:
        return
    late = data.draw(st.sampled_from(older))
    ticks[:] = [row | {"id": 2 * row["id"]} for row in ticks]
    ticks.append(late | {"id": ticks[place]["id"] + 1})
    assert CHECKERS["fenced"](good.make()).result == "FAIL"


@FEW
@given(st.floats(CUT + 11, END - 3), st.floats(0.01, 2))
def test_a_read_that_fails_outside_of_every_window_is_found(at: float, seconds: float) -> None:
    good = GoodHistory()
    good.add(at, "invoke", 79, "read", {"path": "/", "intended_ns": int(at * 1e9)})
    good.add(at + seconds, "fail", 79, "read", None, "HTTP 503")
    assert CHECKERS["available"](good.make()).result == "FAIL"


@FEW
@given(st.floats(0, 2.9))
def test_a_claim_is_never_rescued_before_its_lease_is_over(held_seconds: float) -> None:
    good = GoodHistory()
    rescued = next(row for row in good.tables["job_attempts"] if row["outcome"] == "rescued")
    rescued["finished_at"] = rescued["claimed_at"] + held_seconds
    assert CHECKERS["claims-exclusive"](good.make()).result == "FAIL"


@FEW
@given(st.floats(0.0, 8.0))
def test_two_jobs_of_a_source_never_live_at_once(after_seconds: float) -> None:
    good = GoodHistory()
    first = next(row for row in good.tables["jobs"] if row["id"] == 90)
    second = first | {"id": 95, "created_at": BEGAN_WALL + 20 + after_seconds, "finished_at": BEGAN_WALL + 29}
    good.tables["jobs"].append(second)
    result = CHECKERS["dedupe"](good.make()).result
    assert result == ("FAIL" if second["created_at"] < first["finished_at"] - 0.02 else "PASS")

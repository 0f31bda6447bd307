"""Each checker passes a good history, and fails the one that is spoilt in what it is meant for: it, and no other."""

from collections.abc import Callable

import pytest

from ha_verify.checkers import CHECKERS
from ha_verify.history import History
from ha_verify.verdict import judge
from support.good_history import BEGAN_WALL, CLAIMS, CONNECTED, CUT, PAUSED, WOKEN, GoodHistory

Spoil = Callable[[GoodHistory], None]
SPOILS: list[tuple[str, str, Spoil]] = []


def spoilt(claim: str) -> Callable[[Spoil], Spoil]:
    """Registers what makes a good history violate the claim."""

    def register(spoil: Spoil) -> Spoil:
        SPOILS.append((claim, spoil.__name__, spoil))
        return spoil

    return register


def failed(history: History) -> set[str]:
    return {key for key, check in CHECKERS.items() if check(history).result == "FAIL"}


def test_a_good_history_passes_every_claim_with_trials() -> None:
    history = GoodHistory().make()
    verdict = judge({"good": history})
    assert {claim.key: claim.result for claim in verdict.claims} == dict.fromkeys(CLAIMS, "PASS")
    assert (verdict.result, verdict.exit_code) == ("PASS", 0)


@spoilt("writes-kept")
def an_acknowledged_write_is_gone(good: GoodHistory) -> None:
    del good.tables["probes"][0]


@spoilt("writes-kept")
def a_write_is_not_read_back(good: GoodHistory) -> None:
    good.replace("read-back", "ok", 2, found=False)


@spoilt("writes-kept")
def a_refused_write_is_there(good: GoodHistory) -> None:
    good.add(6.0, "invoke", 77, "write", {"value": "refused", "intended_ns": 6_000_000_000})
    good.add(6.1, "fail", 77, "write", None, "HTTP 400")
    good.tables["probes"].append({"value": "refused", "created_at": BEGAN_WALL + 6})


@spoilt("effects-once")
def an_effect_happened_twice(good: GoodHistory) -> None:
    good.tables["probe_effects"].append(good.tables["probe_effects"][0] | {"id": 99})


@spoilt("effects-once")
def a_job_is_completed_without_its_effect(good: GoodHistory) -> None:
    del good.tables["probe_effects"][1]


@spoilt("jobs-finish")
def an_accepted_job_is_gone(good: GoodHistory) -> None:
    good.add(7.0, "invoke", 78, "refresh", {"source": "s", "content": "c", "intended_ns": 7_000_000_000})
    good.add(7.1, "ok", 78, "refresh", {"job": 404})


@spoilt("jobs-finish")
def an_accepted_job_is_dead(good: GoodHistory) -> None:
    good.add(7.0, "invoke", 78, "refresh", {"source": "s", "content": "c", "intended_ns": 7_000_000_000})
    good.add(7.1, "ok", 78, "refresh", {"job": 91})
    good.tables["jobs"][-1]["state"] = "dead"


@spoilt("claims-exclusive")
def a_valid_claim_is_rescued(good: GoodHistory) -> None:
    rescued = next(row for row in good.tables["job_attempts"] if row["outcome"] == "rescued")
    rescued["finished_at"] = rescued["claimed_at"] + 1.0


@spoilt("claims-exclusive")
def two_claims_overlap(good: GoodHistory) -> None:
    good.tables["job_attempts"][-2]["claimed_at"] -= 1.0


@spoilt("claims-exclusive")
def a_claim_was_overrun(good: GoodHistory) -> None:
    good.tables["jobs"][0]["attempt"] = 2


@spoilt("dedupe")
def a_source_is_queued_twice(good: GoodHistory) -> None:
    good.tables["jobs"][-1]["created_at"] -= 8.0


@spoilt("one-leader")
def an_epoch_has_two_holders(good: GoodHistory) -> None:
    good.tables["singleton_ticks"][3]["holder"] = "h9"


@spoilt("one-leader")
def an_epoch_goes_back(good: GoodHistory) -> None:
    good.replace("leader", "info", 200, epoch=1)


@spoilt("one-leader")
def an_epoch_goes_back_on_a_newer_timeline(good: GoodHistory) -> None:
    good.replace("leader", "info", 200, epoch=1, timeline=2)


@spoilt("one-leader")
def a_healthy_leader_is_succeeded(good: GoodHistory) -> None:
    """Long before the first fault."""
    good.tables["leadership_terms"].append(
        {"epoch": 0, "holder": "h0", "started_at": BEGAN_WALL - 5, "ended_at": BEGAN_WALL + 1}
    )
    good.tables["leadership_terms"][0]["started_at"] = BEGAN_WALL + 1


@spoilt("fenced")
def a_succeeded_leader_writes(good: GoodHistory) -> None:
    ticks = good.tables["singleton_ticks"]
    late = ticks[0] | {"id": max(row["id"] for row in ticks) + 1, "at": BEGAN_WALL + 45}
    ticks.append(late)


@spoilt("failover")
def the_next_leader_is_late(good: GoodHistory) -> None:
    good.tables["leadership_terms"][1]["started_at"] += 1.0


@spoilt("singletons-resume")
def the_loops_go_on_late(good: GoodHistory) -> None:
    wall = BEGAN_WALL + PAUSED
    good.tables["singleton_ticks"] = [row for row in good.tables["singleton_ticks"] if not wall < row["at"] < wall + 12]


@spoilt("loops-stop")
def a_leader_that_is_cut_off_goes_on(good: GoodHistory) -> None:
    for step in range(3):
        ticks = {"replica": "r2", "loop": "schedule", "done": 30.0, "failed": float(step)}
        good.add(CUT + 8 + step / 2, "info", "observer", "ticks", ticks)


@spoilt("loops-stop")
def a_leader_that_woke_goes_on(good: GoodHistory) -> None:
    for step in range(3):
        ticks = {"replica": "r1", "loop": "schedule", "done": 30.0 + step, "failed": 0.0}
        good.add(WOKEN + 5 + step, "info", "observer", "ticks", ticks)


@spoilt("migrations-once")
def two_hold_the_migration_lock(good: GoodHistory) -> None:
    session = {"holder": "migrating@r2", "granted": True, "waited_seconds": 0.0, "writes": False}
    good.add(0.3, "info", "observer", "locks", [session | {"pid": 8}, session | {"pid": 9}])


@spoilt("migrations-once")
def the_schema_is_changed_without_the_lock(good: GoodHistory) -> None:
    session = {"pid": 7, "holder": "migrating@r1", "granted": False, "waited_seconds": 0.0, "writes": True}
    good.add(0.3, "info", "observer", "locks", [session])


@spoilt("migrations-once")
def a_second_session_changes_the_schema(good: GoodHistory) -> None:
    session = {"pid": 8, "holder": "migrating@r2", "granted": True, "waited_seconds": 0.0, "writes": True}
    good.add(0.3, "info", "observer", "locks", [session])


@spoilt("migrations-once")
def a_version_is_missing(good: GoodHistory) -> None:
    del good.tables["schema_migrations"][0]


@spoilt("starts-up")
def a_replica_does_not_start(good: GoodHistory) -> None:
    good.add(2.0, "info", "observer", "startup", {"replica": "r2", "failed": "not ready after 60.0 s"})


@spoilt("starts-up")
def a_replica_starts_slowly(good: GoodHistory) -> None:
    good.replace("startup", "info", 0, ready_after_seconds=21.0)


@spoilt("available")
def a_read_fails_while_nothing_is_wrong(good: GoodHistory) -> None:
    good.add(5.05, "invoke", 79, "read", {"path": "/", "intended_ns": 5_050_000_000})
    good.add(5.1, "fail", 79, "read", None, "HTTP 503")


@spoilt("latency")
def reads_are_slow(good: GoodHistory) -> None:
    for number in range(10):
        good.add(5.05, "invoke", 80 + number, "read", {"path": "/", "intended_ns": 5_050_000_000})
        good.add(7.0, "ok", 80 + number, "read", {"status": 200})


@spoilt("latency")
def reads_start_late(good: GoodHistory) -> None:
    """A client that stalls with the server must not hide it: the time counts from when they were meant to start."""
    for number in range(10):
        good.add(7.0, "invoke", 80 + number, "read", {"path": "/", "intended_ns": 5_050_000_000})
        good.add(7.01, "ok", 80 + number, "read", {"status": 200})


@spoilt("recovers")
def the_deployment_is_not_whole_again(good: GoodHistory) -> None:
    good.add(45.0, "info", "run", "not in time", {"what": "recovery"}, "not ready: r2, after 60 s")


@spoilt("readiness-tells")
def a_replica_without_a_database_says_that_it_is_ready(good: GoodHistory) -> None:
    good.remove("readiness")
    for second in range(1, 49):
        good.add(second, "info", "observer", "readiness", {"replica": "r2", "ready": True, "reason": None})


@spoilt("readiness-tells")
def a_replica_without_a_database_says_so_for_a_while_only(good: GoodHistory) -> None:
    good.add(CONNECTED - 0.1, "info", "observer", "readiness", {"replica": "r2", "ready": True})


@spoilt("replicas-agree")
def a_replica_serves_something_else(good: GoodHistory) -> None:
    good.replace("checksum", "info", 1, digest="e")


@spoilt("replicas-agree")
def a_replica_serves_nothing(good: GoodHistory) -> None:
    good.add(49.0, "info", "observer", "checksum", {"replica": "r3", "digest": None}, "refused")


@pytest.mark.parametrize(
    ("claim", "spoil"), [(claim, spoil) for claim, _, spoil in SPOILS], ids=[n for _, n, _ in SPOILS]
)
def test_what_is_wrong_is_found_by_the_checker_it_is_meant_for_and_no_other(claim: str, spoil: Spoil) -> None:
    good = GoodHistory()
    spoil(good)
    assert failed(good.make()) == {claim}


def test_every_checker_has_something_to_find() -> None:
    """Those of a database's members have it in `test_database_checkers`, of disasters in `test_disaster_checkers`."""
    assert {claim for claim, _, _ in SPOILS} == set(CLAIMS)
    assert set(CHECKERS) - set(CLAIMS) == {
        *("one-writable-primary", "database-recovers", "rejoins", "no-restart"),
        *("rto", "rpo", "one-moment", "exact-moment"),
    }


def test_reads_that_fail_after_a_fault_for_longer_than_its_bound_are_found_twice() -> None:
    """They were not answered, and the service did not recover in time."""
    good = GoodHistory()
    good.add(PAUSED + 6, "invoke", 79, "read", {"path": "/", "intended_ns": int((PAUSED + 6) * 1e9)})
    good.add(PAUSED + 7, "fail", 79, "read", None, "no answer")
    assert failed(good.make()) == {"available", "recovers"}


def test_a_write_whose_answer_was_lost_may_be_there_or_not() -> None:
    for stored in (True, False):
        good = GoodHistory()
        good.add(6.0, "invoke", 77, "write", {"value": "lost", "intended_ns": 6_000_000_000})
        good.add(6.1, "info", 77, "write", None, "answer lost")
        if stored:
            good.tables["probes"].append({"value": "lost", "created_at": BEGAN_WALL + 6})
        assert not failed(good.make())


def test_what_a_former_primary_still_tells_is_no_step_back() -> None:
    good = GoodHistory()
    good.replace("leader", "info", 200, epoch=1, timeline=0)
    assert not failed(good.make())


def test_what_was_not_tried_is_inconclusive() -> None:
    verdict = judge({"empty": History([])})
    assert (verdict.result, verdict.exit_code) == ("INCONCLUSIVE", 3)


def test_a_fault_that_did_not_take_effect_leaves_the_verdict_open() -> None:
    good = GoodHistory()
    good.add(46.0, "invoke", "nemesis", "fault", {"id": 3, "fault": "x", "class": "clock", "at": 0})
    good.add(46.1, "fail", "nemesis", "fault", {"id": 3, "fault": "x", "class": "clock", "at": 0}, "nothing happened")
    verdict = judge({"good": good.make()})
    assert verdict.result == "INCONCLUSIVE"
    assert "nothing happened" in verdict.untried[0]


def test_runs_are_added_up_and_one_violation_fails_them_all() -> None:
    good, bad = GoodHistory(), GoodHistory()
    an_effect_happened_twice(bad)
    verdict = judge({"good": good.make(), "bad": bad.make()})
    (claim,) = [claim for claim in verdict.claims if claim.key == "effects-once"]
    assert (verdict.result, claim.result, claim.trials, claim.rate_upper_bound) == ("FAIL", "FAIL", 10, None)
    assert {place.history for place in claim.violations[0].evidence} == {"bad"}

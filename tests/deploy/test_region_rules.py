"""What is decided about two regions: what is sent, whose schema fits, who may be promoted, and in which order."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from deploy.deployment import load_module, load_module_utils
from deploy.region_at import RegionAt

cluster = load_module_utils("postgresql_cluster")
regions = load_module_utils("regions")
view = load_module_utils("region_view")
promotion = load_module("region_promotion")
subscription = load_module("region_subscription")
preflight = load_module("region_preflight")

GAP = 1000


@pytest.fixture
def region(tmp_path: Path, dsn: str) -> RegionAt:
    (tmp_path / "config" / "programs").mkdir(parents=True)
    return RegionAt(tmp_path, dsn)


def insert_job(region: RegionAt, job_id: int, token: int) -> None:
    region.rows(
        """INSERT INTO jobs (id, kind, payload, state, priority, run_at, attempt, max_attempts, claim_token, created_at,
                             claim_expires_at)
           OVERRIDING SYSTEM VALUE VALUES (%s, 'k', '{}', 'running', 0, now(), 1, 8, %s, now(), 'tomorrow')
        """,
        [job_id, token],
    )


def test_every_table_and_sequence_of_the_schema_is_decided_on(region: RegionAt) -> None:
    assert regions.sent_tables(region) == list(regions.SENT)
    tables = {row["name"] for row in region.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")}
    assert tables == {*regions.SENT, *regions.OWN}
    assert not set(regions.SENT) & set(regions.OWN)


@pytest.mark.parametrize("sql", ["CREATE TABLE extra (id integer)", "CREATE SEQUENCE extra"])
def test_what_nobody_decided_on_is_refused(region: RegionAt, sql: str) -> None:
    region.rows(sql)
    with pytest.raises(cluster.Failed, match=r"extra of the schema is neither sent .* nor said to be a region's own"):
        regions.sent_tables(region)


def test_every_table_that_is_sent_has_a_key_to_find_changed_rows_by(region: RegionAt) -> None:
    for table in regions.SENT:
        assert region.rows("SELECT 1 FROM pg_index WHERE indrelid = %s::regclass AND indisprimary", [table]), table


def test_numbers_go_on_beyond_those_that_arrived_and_those_that_did_not(region: RegionAt) -> None:
    insert_job(region, 70, 700)
    region.rows("INSERT INTO job_attempts VALUES (900, 1, 1, 'w', 'failed', now(), now())")
    promotion.set_numbers_beyond(region, GAP)
    promotion.set_numbers_beyond(region, GAP)  # as after an interruption
    (job,) = region.rows(
        """INSERT INTO jobs (kind, payload, state, priority, run_at, attempt, max_attempts, created_at)
           VALUES ('k', '{}', 'available', 0, now(), 0, 8, now()) RETURNING id"""
    )
    assert job["id"] == 70 + GAP + 1
    assert region.rows("SELECT nextval('job_claim_tokens') AS token")[0]["token"] == 900 + GAP + 1
    names = {sequence for sequence, _ in regions.sequences(region)}
    wanted = ("catalog_models_id_seq", "catalog_artifacts_id_seq", "jobs_id_seq", "probe_effects_id_seq")
    assert names == {f"public.{name}" for name in (*wanted, "job_claim_tokens")}


def test_claims_of_workers_that_are_not_here_end_at_once(region: RegionAt) -> None:
    insert_job(region, 1, 1)
    promotion.end_claims(region)
    assert region.rows("SELECT 1 FROM jobs WHERE state = 'running' AND claim_expires_at <= clock_timestamp()")


def test_a_region_whose_references_do_not_hold_is_not_promoted(
    region: RegionAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[float] = []
    monkeypatch.setattr(region.cluster, "the_primary", lambda: SimpleNamespace(write=writes.append))
    promotion.check(region)
    assert len(writes) == 1
    with region.session() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("INSERT INTO catalog_artifacts VALUES (DEFAULT, 5, '{}', 0, 0)")
    with pytest.raises(cluster.Failed, match="1 rows of catalog_artifacts refer to rows of catalog_models"):
        promotion.check(region)


def test_a_region_with_numbers_beyond_its_sequences_is_not_promoted(
    region: RegionAt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(region.cluster, "the_primary", lambda: SimpleNamespace(write=lambda _: None))
    insert_job(region, 70, 1)
    with pytest.raises(cluster.Failed, match=r"jobs\.id has values beyond public\.jobs_id_seq"):
        promotion.check(region)


def test_a_region_with_rows_of_its_own_is_not_added_to(region: RegionAt) -> None:
    region.rows("INSERT INTO probes VALUES ('1', now())")
    with pytest.raises(cluster.Failed, match="probes of this region has rows already"):
        subscription.subscribe(None, region, "host=nowhere", "region_1")


def history(*versions: tuple[int, int], checksum: str = "x") -> list[dict[str, Any]]:
    """Versions by number and the oldest head that runs on them."""
    return [
        {"number": number, "name": "n", "checksum": f"{checksum}{number}", "oldest_server_head": oldest}
        for number, oldest in versions
    ]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (history((1, 1)), history((1, 1)), None),
        (history((1, 1)), history((1, 1), (2, 1)), None),  # migrated first, and it only expands
        (history((1, 1), (2, 1)), history((1, 1)), "at schema version 0002_n, and the second one knows 0001_n"),
        (history((1, 1)), history((1, 1), (2, 2)), "0002_n of the second region contracts"),
        (history((1, 1)), history((1, 1), checksum="y"), "their checksums differ"),
        (history(), history((1, 1)), "no schema yet"),
        (history((1, 1)), [], "the second one knows none"),
    ],
)
def test_rows_are_sent_only_where_they_fit(first: Any, second: Any, expected: str | None) -> None:
    problem = regions.schema_problem(first, second)
    assert problem is None if expected is None else expected in problem


STEPS = [
    "refuse_incomplete",
    "refuse_two_writers",
    "catch_up",
    "stop_following",
    "note_position",
    "set_numbers_beyond",
    "end_claims",
    "check",
    "drop_subscription",
    "drop_slot",
]


@pytest.fixture
def steps(region: RegionAt, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a promotion does, in order; each step stands in for the real one. The first region answers."""
    made: list[str] = []
    for name in STEPS:
        monkeypatch.setattr(promotion, name, lambda *_, name=name: made.append(name))
    monkeypatch.setattr(promotion, "subscription", lambda _: {"copying": [], "enabled": True})
    monkeypatch.setattr(promotion, "slot_name", lambda _: "region_1")
    region.note.write(state="second", first_region="/first")
    return made


GIVEN = {"force": False, "accept_data_loss": False, "number_gap": GAP, "catch_up_seconds": 1}


def test_a_region_follows_until_all_else_is_done(region: RegionAt, steps: list[str]) -> None:
    promotion.promote(SimpleNamespace(answers=lambda: None), region, GIVEN)
    assert steps == STEPS
    assert region.note.read()["state"] == "promoted"


def test_a_lost_region_is_asked_nothing(region: RegionAt, steps: list[str]) -> None:
    promotion.promote(SimpleNamespace(answers=lambda: "refused"), region, GIVEN)
    assert steps == [step for step in STEPS if step not in ("refuse_two_writers", "catch_up", "drop_slot")]


def test_a_region_that_fails_its_check_stays_a_second_one(
    region: RegionAt, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise cluster.Failed("broken")

    monkeypatch.setattr(promotion, "check", fail)
    with pytest.raises(cluster.Failed):
        promotion.promote(SimpleNamespace(answers=lambda: None), region, GIVEN)
    assert "drop_subscription" not in steps
    assert region.note.read()["state"] == "second"


def test_a_promotion_that_was_interrupted_at_its_end_is_finished(
    region: RegionAt, steps: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promotion, "subscription", lambda _: None)
    with pytest.raises(cluster.Failed, match="followed nobody yet"):
        promotion.promote(SimpleNamespace(answers=lambda: None), region, GIVEN)
    region.note.write(applied_lsn="0/1")
    promotion.promote(SimpleNamespace(answers=lambda: None), region, GIVEN)
    assert steps == []
    assert region.note.read()["state"] == "promoted"


def test_nobody_is_promoted_before_the_copy_is_complete_or_while_the_first_region_serves() -> None:
    with pytest.raises(cluster.Failed, match="jobs: not copied to the end"):
        promotion.refuse_incomplete({"copying": ["jobs"]}, False)
    promotion.refuse_incomplete({"copying": ["jobs"]}, True)
    serving = SimpleNamespace(state_dir="/a", running_servers=lambda: ["replica-1", "replica-2"])
    with pytest.raises(cluster.Failed, match=r"supervisord\.conf stop replica-1 replica-2"):
        promotion.refuse_two_writers(serving, False)
    promotion.refuse_two_writers(serving, True)


def test_a_first_region_that_still_sends_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promotion, "WORKER_SECONDS", 0)
    monkeypatch.setattr(promotion, "subscription", lambda _: {"pid": 1, "received": "0/1"})
    with pytest.raises(cluster.Failed, match="it sends to this region: it is alive"):
        promotion.wait_until_cut_off(None, False)
    monkeypatch.setattr(promotion, "subscription", lambda _: {"pid": 2, "received": None})
    promotion.wait_until_cut_off(None, False)


def test_a_region_behind_a_first_one_that_answers_is_not_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, answer in {"slot_name": "s", "mark": "0/9", "confirmed": False, "slots": {"s": {"bytes": 7}}}.items():
        monkeypatch.setattr(promotion, name, lambda *_, answer=answer: answer)
    given, second = GIVEN | {"catch_up_seconds": 0}, SimpleNamespace(rows=lambda _: [])
    with pytest.raises(cluster.Failed, match="it is 7 bytes behind"):
        promotion.catch_up(None, second, given)
    assert promotion.catch_up(None, second, given | {"accept_data_loss": True}) is False


def look(**changes: Any) -> Any:
    """A view while all is well, but for the changes."""
    slot = {"bytes": 10, "active": True, "lost": False, "away_seconds": None}
    seen = {
        "first": SimpleNamespace(state_dir="/first"),
        "subscription": {"enabled": True, "copying": []},
        "silence": None,
        "newest": None,
        "slot": slot | changes.pop("slot", {}),
        "seconds": 0.1,
    }
    return SimpleNamespace(**(seen | changes))


@pytest.mark.parametrize(
    ("changes", "problem", "state"),
    [
        ({}, None, "follows"),
        ({"slot": {"bytes": 101}}, "101 bytes behind, and status_lag_max_bytes is 100", "101 bytes, 0.10 s"),
        ({"slot": {"active": False, "away_seconds": 7.0}}, "nothing arrives .* for 7 s", "cut off"),
        ({"slot": {"lost": True}}, "copy all anew", "broken off"),
        ({"silence": "refused"}, "Is it lost, run promote-region.yml", "silent"),
        ({"subscription": None}, "Run second-region.yml", "not set up"),
        ({"subscription": {"enabled": False, "copying": []}}, "switched off", "follows"),
        ({"subscription": {"enabled": True, "copying": ["jobs"]}}, None, "copies 1 of 8 tables"),
        ({"seconds": 5.0}, None, "more than 5.00 s"),
    ],
)
def test_each_trouble_of_following_is_told_with_its_remedy(
    changes: dict[str, Any], problem: str | None, state: str
) -> None:
    problems = view.find_problems(look(**changes), 100)
    if problem is None:
        assert problems == []
    else:
        (told,) = problems
        assert re.search(problem, told)
    assert state in view.render(look(**changes))


def test_each_wrong_variable_of_a_second_region_is_named(tmp_path: Path) -> None:
    numbers = {"region_timeout_seconds": 600, "region_number_gap": 0, "region_catch_up_seconds": "30"}
    assert preflight.number_problems(numbers) == []
    (problem,) = preflight.number_problems(numbers | {"region_timeout_seconds": 0})
    assert problem.startswith("region_timeout_seconds = 0: must be a whole number of 1 or more")

    def where(first: str) -> str:
        (problem,) = preflight.first_region_problems(first, str(tmp_path), "marker")
        return str(problem)

    assert where("").startswith("first_region_state_dir = '': must be the state_dir of the region")
    assert "is the state_dir of the second region as well" in where(str(tmp_path))
    assert "nothing is deployed there" in where("/nowhere")


def test_what_serves_by_itself_or_was_promoted_or_follows_another_becomes_no_second_region(region: RegionAt) -> None:
    assert preflight.own_problems(region, "/first") == []
    (region.state_dir / "config" / "programs" / "replica-1.conf").touch()
    assert "a deployment that serves by itself" in preflight.own_problems(region, "/first")[0]
    region.note.write(state="second", first_region="/first")
    assert preflight.own_problems(region, "/first") == []
    assert "this region follows /first" in preflight.own_problems(region, "/other")[0]
    region.note.write(state="promoted")
    assert "was promoted" in preflight.own_problems(region, "/first")[0]


def test_what_a_region_knows_of_itself_is_whole_whenever_it_is_read(region: RegionAt) -> None:
    assert region.note.read() == {}
    assert region.note.write(state="second", first_region="/first") is True
    assert region.note.write(state="second") is False
    path = region.state_dir / "config" / "region.json"
    assert json.loads(path.read_text()) == {"state": "second", "first_region": "/first"}

"""What `ha-verify run` refuses, and what a seed determines. Nothing is deployed here."""

import random
from pathlib import Path

import pytest
from click.testing import CliRunner

from ha_verify.claims import CLAIMS
from ha_verify.cli import main
from ha_verify.cli.list import pages
from ha_verify.cli.run import make_target
from ha_verify.scenarios import ACCEPTANCE, DRILL, OF_DISASTERS, OF_MEMBERS, SCENARIOS, Options, chosen
from ha_verify.scenarios.session import needs, plan
from ha_verify.targets import Timing

PAGES = Path(__file__).parents[3] / "docs" / "scenarios"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kill-leaders"], "there is no scenario 'kill-leaders'; choose from: all, dr-drill, scale-out"),
        (["all", "--target", "moon"], "there is no target 'moon'; choose from: local"),
        (["all", "-e", "http_port"], "'http_port' is not key=value, as in -e http_port=19080"),
        (["all", "--trials", "0"], "--trials"),
    ],
)
def test_an_error_names_the_field_the_value_and_what_to_do(arguments: list[str], message: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", *arguments, "--report", str(tmp_path / "report")])

    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_a_directory_that_is_not_a_report_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    result = CliRunner().invoke(main, ["run", "all", "--report", str(tmp_path)])

    assert result.exit_code == 2
    assert "holds what is not of a report (thesis.txt)" in " ".join(result.output.split())
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_schedule(name: str) -> None:
    def schedule(seed: int) -> list[tuple[str, float]]:
        planned = plan([SCENARIOS[name]], Options(Timing(), trials=4), seed)
        return [(each.fault.name, each.hold_seconds) for run in planned for each in run.experiment.injections]

    assert schedule(7) == schedule(7)
    if name == "soak":
        assert schedule(7) != schedule(8)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_tries_claims_that_there_are(name: str) -> None:
    assert set(SCENARIOS[name].claims) <= set(CLAIMS)
    assert SCENARIOS[name].plan(Options(Timing(), short=True), random.Random(1))


def test_what_a_target_lacks_is_left_out_aloud() -> None:
    options = Options(Timing(), lacks=["orchestrator"])
    (run,) = plan([SCENARIOS["kill-leader"]], options, 7)
    assert run.left_out == ("delete the leader",)
    assert len(run.experiment.injections) == 3
    assert plan([SCENARIOS["drain"]], options, 7) == []


def test_a_scenario_of_which_nothing_is_left_is_refused_before_anything_is_deployed(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["run", "clock-jump", "--target", "kind", "--report", str(tmp_path)])
    assert result.exit_code == 3
    assert "nothing of clock-jump can be done" in " ".join(result.output.split())
    assert "pods have the clock of their node" in " ".join(result.output.split())


@pytest.mark.parametrize("name_of_target", ["local", "kind"])
def test_a_database_with_several_members_is_deployed_for_those_who_need_it(name_of_target: str) -> None:
    for name in OF_MEMBERS:
        assert "database members" in needs([SCENARIOS[name]])
        target = make_target(name_of_target, [], needs([SCENARIOS[name]]))
        assert plan([SCENARIOS[name]], Options(Timing(), lacks=tuple(target.lacks)), 7)
    assert "database members" in make_target(name_of_target, [], needs([SCENARIOS["kill-leader"]])).lacks


@pytest.mark.parametrize(
    ("target", "one", "remedy"),
    [
        ("local", "postgresql_members=1", "add -e postgresql_members=3"),
        ("kind", "postgresql_ha=false", "add -e postgresql_ha=true"),
    ],
)
@pytest.mark.parametrize("name", OF_MEMBERS)
def test_what_a_database_with_one_member_lacks_is_told_before_anything_is_deployed(
    name: str, target: str, one: str, remedy: str, tmp_path: Path
) -> None:
    command = ["run", name, "--target", target, "-e", one, "--report", str(tmp_path)]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 3
    assert f"nothing of {name} can be done" in " ".join(result.output.split())
    assert remedy in " ".join(result.output.split())


def test_a_primary_is_lost_with_its_node_where_it_has_one() -> None:
    nodes = {"pause of the primary's node", "loss of the primary's node"}
    for target, left_out in (("local", nodes), ("kind", set())):
        lacks = make_target(target, [], {"database members"}).lacks
        planned = plan([SCENARIOS["database-failover"]], Options(Timing(), lacks=tuple(lacks)), 7)
        assert {name for each in planned for name in each.left_out} & nodes == left_out


@pytest.mark.parametrize("target", ["local", "kind"])
@pytest.mark.parametrize("scenario", ["split-brain", "database-failover"])
def test_a_primary_is_isolated_wherever_the_database_has_members(scenario: str, target: str) -> None:
    lacks = make_target(target, [], {"database members"}).lacks
    (run,) = plan([SCENARIOS[scenario]], Options(Timing(), lacks=tuple(lacks)), 7)
    assert "isolation of the primary" in [injection.fault.name for injection in run.experiment.injections]


def test_connections_of_a_replicated_database_on_kubernetes_are_not_exhausted() -> None:
    lacks = make_target("kind", ["postgresql_ha=true"]).lacks
    outage = plan([SCENARIOS["database-outage"]], Options(Timing(), lacks=tuple(lacks)), 7)
    assert {name for each in outage for name in each.left_out} == {"exhaust connections"}


def test_a_primary_that_is_started_again_is_lost_only_where_a_program_decides() -> None:
    for variables, crashes in (([], 0), (["postgresql_failover=automatic"], 1)):
        scenario = SCENARIOS["database-failover"]
        target = make_target("local", variables, needs([scenario]))
        (run,) = plan([scenario], Options(Timing(), lacks=tuple(target.lacks)), 7)
        names = [injection.fault.name for injection in run.experiment.injections]
        assert (names.count("crash of the primary"), len(names)) == (crashes, 4 + crashes)


def test_replicas_that_choose_a_member_are_not_said_to_be_cut_off() -> None:
    lacks = make_target("local", ["postgresql_members=3"]).lacks
    assert plan([SCENARIOS["partition"]], Options(Timing(), lacks=tuple(lacks)), 7) == []


def test_what_disasters_are_recovered_from_is_deployed_for_those_who_need_it() -> None:
    scenarios = chosen([DRILL])
    assert tuple(scenario.name for scenario in scenarios) == OF_DISASTERS
    assert needs(scenarios) == {"database members", "backups"}
    lacks = tuple(make_target("local", [], needs(scenarios)).lacks)
    assert {run.scenario.name for run in plan(scenarios, Options(Timing(), lacks=lacks), 7)} == set(OF_DISASTERS)
    without = tuple(make_target("local", ["postgresql_backups=false"], needs(scenarios)).lacks)
    assert plan(scenarios, Options(Timing(), lacks=without), 7) == []


def test_every_disaster_is_told_by_a_run_of_its_own() -> None:
    runs = plan(chosen([DRILL]), Options(Timing(), trials=2), 7)
    assert [len(run.experiment.injections) for run in runs] == [1] * 2 * len(OF_DISASTERS)
    assert {run.scenario.name for run in runs if not run.experiment.rewinds} == {"disaster-failover"}


def test_the_acceptance_set_and_the_scenarios_of_members_and_disasters_try_every_claim() -> None:
    assert {key for name in (*ACCEPTANCE, *OF_MEMBERS, *OF_DISASTERS) for key in SCENARIOS[name].claims} == set(CLAIMS)
    assert {key for name in ACCEPTANCE for key in SCENARIOS[name].claims} == set(CLAIMS) - {
        *("one-writable-primary", "database-recovers", "rejoins", "no-restart"),
        *("rto", "rpo", "one-moment", "exact-moment"),
    }


def test_the_pages_of_the_scenarios_are_those_of_the_code() -> None:
    assert {path.name: path.read_text() for path in PAGES.glob("*.md")} == pages()

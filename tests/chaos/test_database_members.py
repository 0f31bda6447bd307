"""A database of several members: its scenarios in their short form, and what must be found where it is sabotaged."""

import sys
from pathlib import Path

import pytest

from chaos.sabotage import bugs, deployments
from chaos.short_runs import ShortRuns
from ha_verify.scenarios import OF_MEMBERS

SABOTAGE = Path(__file__).parent / "sabotage"
BUGS = [name for name in bugs.names() if bugs.load(name).scenario in OF_MEMBERS]
# One worker has them all: to deploy the members takes as long as a run.
# A server that never finds the new primary is waited for, by the playbooks and by the verification, until both give up.
pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("database members")]


def test_the_scenarios_end_with_every_claim_upheld(replicated_runs: ShortRuns, tmp_path: Path) -> None:
    verdict = replicated_runs.run(*OF_MEMBERS, report=tmp_path / "report")
    amiss = [claim for claim in verdict.document["claims"] if claim["result"] != "PASS"]
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), (amiss, verdict.document["untried"])
    assert len(verdict.document["histories"]) >= len(OF_MEMBERS)


@pytest.mark.parametrize("sabotage", deployments.ALL, ids=lambda sabotage: sabotage.name)
def test_a_sabotaged_deployment_is_found_for_the_right_claim(
    sabotage: deployments.Sabotage, replicated_runs: ShortRuns, tmp_path: Path
) -> None:
    program = (sys.executable, SABOTAGE / "verify.py", sabotage.name)
    report = tmp_path / "report"
    verdict = replicated_runs.run(sabotage.scenario, report=report, program=program, **sabotage.variables)
    assert verdict.results()[sabotage.claim] == "FAIL", verdict.document
    assert verdict.code != 0


@pytest.mark.parametrize("name", BUGS)
def test_a_bug_is_found_for_the_right_claim(name: str, replicated_runs: ShortRuns, tmp_path: Path) -> None:
    bug, verdict = replicated_runs.run_bug(name, tmp_path / "report")
    assert verdict.results()[bug.claim] == "FAIL", verdict.document
    assert verdict.code != 0

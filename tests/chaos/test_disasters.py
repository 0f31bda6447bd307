"""Disasters: one of the drill's methods from its beginning to its end, and restores that lose more than they may."""

import sys
from pathlib import Path

import pytest

from chaos.sabotage import deployments
from chaos.short_runs import ShortRuns
from ha_verify.scenarios import OF_DISASTERS

SABOTAGE = Path(__file__).parent / "sabotage"
SABOTAGES = [sabotage for sabotage in deployments.ALL if sabotage.scenario in OF_DISASTERS]
# One worker has them all: to deploy members with backups takes as long as a run.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("disasters")]


def test_all_data_are_lost_and_restored_from_the_archive(backed_up_runs: ShortRuns, tmp_path: Path) -> None:
    """The others are what `make dr-drill` does as well: here it is seen that a drill ends, and measures."""
    verdict = backed_up_runs.run("disaster-archive", report=tmp_path / "report")
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), verdict.document
    claims = {claim["claim"]: claim for claim in verdict.document["claims"]}
    assert claims["rto"]["measured"] > 0
    assert claims["rpo"]["measured"] <= claims["rpo"]["bound"]
    assert claims["rpo"]["trials"] > 50


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_a_restore_that_loses_more_than_it_may_is_found_for_the_right_claim(
    sabotage: deployments.Sabotage, backed_up_runs: ShortRuns, tmp_path: Path
) -> None:
    program = (sys.executable, SABOTAGE / "verify.py", sabotage.name)
    verdict = backed_up_runs.run(sabotage.scenario, report=tmp_path / "report", program=program)
    assert verdict.results()[sabotage.claim] == "FAIL", verdict.document
    assert verdict.code != 0

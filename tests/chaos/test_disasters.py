"""Disasters: one of the drill's methods from its beginning to its end."""

from pathlib import Path

import pytest

from chaos.short_runs import ShortRuns

# To deploy members with backups takes as long as the run.
pytestmark = [pytest.mark.timeout(1200), pytest.mark.xdist_group("disasters")]


def test_all_data_are_lost_and_restored_from_the_archive(backed_up_runs: ShortRuns, tmp_path: Path) -> None:
    """The others are what `make dr-drill` does as well: here it is seen that a drill ends, and measures."""
    verdict = backed_up_runs.run("disaster-archive", report=tmp_path / "report")
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), verdict.document
    claims = {claim["claim"]: claim for claim in verdict.document["claims"]}
    assert claims["rto"]["measured"] > 0
    assert claims["rpo"]["measured"] <= claims["rpo"]["bound"]
    assert claims["rpo"]["trials"] > 50

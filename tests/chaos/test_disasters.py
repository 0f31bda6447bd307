"""Disasters: every method of the drill, from its beginning to its end, where Patroni decides who is the primary."""

from pathlib import Path

import pytest

from chaos.short_runs import ShortRuns
from ha_verify.scenarios import DRILL, OF_DISASTERS

# To deploy members with backups takes as long as a run.
pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("disasters")]


def test_each_disaster_is_recovered_from_and_measured(backed_up_runs: ShortRuns, tmp_path: Path) -> None:
    verdict = backed_up_runs.run(DRILL, report=tmp_path / "report", postgresql_failover="automatic")
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), verdict.document
    assert len(verdict.document["histories"]) == len(OF_DISASTERS)
    claims = {claim["claim"]: claim for claim in verdict.document["claims"]}
    assert claims["rto"]["measured"] > 0
    assert claims["rpo"]["trials"] > 50 * len(OF_DISASTERS)

"""Every scenario in its short form against a deployment of its own: it ends, and the server upholds every claim."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.short_runs import ShortRuns
from ha_verify.scenarios import SCENARIOS

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def runs() -> Iterator[ShortRuns]:
    runs = ShortRuns("chaos", port_base=27080)
    yield runs
    runs.destroy()


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_with_every_claim_upheld(name: str, runs: ShortRuns, tmp_path: Path) -> None:
    report = tmp_path / "report"
    verdict = runs.run(name, seed=7, report=report)

    amiss = [claim for claim in verdict.document["claims"] if claim["result"] != "PASS"]
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), (amiss, verdict.document["untried"])
    assert (report / "index.html").is_file()
    assert json.loads((report / "verdict.json").read_text()) == verdict.document

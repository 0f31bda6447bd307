"""Every scenario in its short form against a deployment of its own: it ends, and the server upholds every claim."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.short_runs import ShortRuns
from ha_verify.scenarios import SCENARIOS, Options
from ha_verify.scenarios.session import plan
from ha_verify.targets import Timing
from ha_verify.targets.local import LocalTarget

pytestmark = pytest.mark.timeout(600)

POSSIBLE = [
    name
    for name, scenario in SCENARIOS.items()
    if plan([scenario], Options(Timing(), short=True, lacks=tuple(LocalTarget.lacks)), seed=7)
]


@pytest.fixture(scope="module")
def runs() -> Iterator[ShortRuns]:
    runs = ShortRuns("chaos", port_base=27080)
    yield runs
    runs.destroy()


@pytest.mark.parametrize("name", POSSIBLE)
def test_a_scenario_ends_with_every_claim_upheld(name: str, runs: ShortRuns, tmp_path: Path) -> None:
    report = tmp_path / "report"
    verdict = runs.run(name, seed=7, report=report)

    amiss = [claim for claim in verdict.document["claims"] if claim["result"] != "PASS"]
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), (amiss, verdict.document["untried"])
    assert (report / "index.html").is_file()
    assert json.loads((report / "verdict.json").read_text()) == verdict.document

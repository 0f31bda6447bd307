"""Every scenario in its short form against a deployment of its own: it ends, and the server upholds every claim.
Those of a database with several members are in `test_database_members`.

Those that find the seeded bugs are among them, with the same options and the same seed.
"""

import json
from pathlib import Path

import pytest

from chaos.sabotage import bugs
from chaos.short_runs import SEED, ShortRuns
from ha_verify.scenarios import OF_MEMBERS, SCENARIOS, Options
from ha_verify.scenarios.session import plan
from ha_verify.targets import Timing
from ha_verify.targets.local import LocalTarget

pytestmark = pytest.mark.timeout(600)

OPTIONS = Options(Timing(), short=True, lacks=tuple(LocalTarget.lacks))
POSSIBLE = {(name, ()) for name, scenario in SCENARIOS.items() if plan([scenario], OPTIONS, SEED)}
OF_BUGS = {(bug.scenario, bug.options) for bug in map(bugs.load, bugs.names()) if bug.scenario not in OF_MEMBERS}
RUNS = sorted(POSSIBLE | OF_BUGS)


@pytest.mark.parametrize(("scenario", "options"), RUNS, ids=[" ".join((name, *options)) for name, options in RUNS])
def test_a_scenario_ends_with_every_claim_upheld(
    scenario: str, options: tuple[str, ...], short_runs: ShortRuns, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    verdict = short_runs.run(scenario, *options, report=report)

    amiss = [claim for claim in verdict.document["claims"] if claim["result"] != "PASS"]
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), (amiss, verdict.document["untried"])
    assert (report / "index.html").is_file()
    assert json.loads((report / "verdict.json").read_text()) == verdict.document

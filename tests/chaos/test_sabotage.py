"""The verification finds every seeded bug, for the right claim, and finds nothing in the server as it is."""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from chaos.sabotage import bugs
from chaos.short_runs import ShortRuns, Verdict

SERVE = Path(__file__).parent / "sabotage" / "serve.py"
SCENARIOS = sorted({(bugs.load(name).scenario, bugs.load(name).options) for name in bugs.names()})
Run = Callable[..., Verdict]
pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def runs() -> Iterator[ShortRuns]:
    runs = ShortRuns("sabotage", port_base=28080)
    yield runs
    runs.destroy()


@pytest.fixture
def run(runs: ShortRuns, tmp_path: Path) -> Run:
    return partial(runs.run, seed=20, report=tmp_path / "report")


@pytest.mark.parametrize(("scenario", "options"), SCENARIOS, ids=[" ".join((s, *o)) for s, o in SCENARIOS])
def test_the_server_as_it_is_passes(scenario: str, options: tuple[str, ...], run: Run) -> None:
    verdict = run(scenario, *options)
    assert verdict.results() == dict.fromkeys(verdict.results(), "PASS"), verdict.document
    assert verdict.code == 0


@pytest.mark.parametrize("name", bugs.names())
def test_a_bug_is_found_for_the_right_claim(name: str, run: Run) -> None:
    bug = bugs.load(name)
    verdict = run(bug.scenario, *bug.options, server_command=f"{sys.executable} {SERVE} {name} serve")
    assert verdict.results()[bug.claim] == "FAIL", verdict.document
    assert verdict.code != 0

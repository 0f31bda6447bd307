"""The verification finds every seeded bug, for the right claim. In the server as it is it finds nothing, see
`test_scenarios`."""

from pathlib import Path

import pytest

from chaos.sabotage import bugs
from chaos.short_runs import ShortRuns
from ha_verify.scenarios import OF_MEMBERS

pytestmark = pytest.mark.timeout(400)


# Those that only a database with several members shows are in `test_database_members`.
NAMES = [name for name in bugs.names() if bugs.load(name).scenario not in OF_MEMBERS]


@pytest.mark.parametrize("name", NAMES)
def test_a_bug_is_found_for_the_right_claim(name: str, short_runs: ShortRuns, tmp_path: Path) -> None:
    bug, verdict = short_runs.run_bug(name, tmp_path / "report")
    assert verdict.results()[bug.claim] == "FAIL", verdict.document
    assert verdict.code != 0

"""Every seeded bug still fits the server, which starts healthy with it: only the verification can tell."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.sabotage import bugs, deployments, editing
from ha_verify.claims import CLAIMS
from ha_verify.scenarios import SCENARIOS
from support.postgres import wait_until
from support.replica import ReplicaProcess

SERVE = Path(__file__).with_name("serve.py")
PLAYBOOKS = Path(__file__).parents[3] / "playbooks"
DOCS = Path(__file__).parents[3] / "docs" / "sabotage.md"


class SabotagedReplica(ReplicaProcess):
    """A replica with one bug."""

    def __init__(self, bug: str, dsn: str, folder: Path) -> None:
        self.program = (sys.executable, str(SERVE), bug)
        super().__init__(bug, dsn, folder)


@pytest.fixture
def start_with(empty_dsn: str, tmp_path: Path) -> Iterator[Callable[[str], SabotagedReplica]]:
    started = []

    def start(bug: str) -> SabotagedReplica:
        started.append(SabotagedReplica(bug, empty_dsn, tmp_path))
        return started[-1]

    yield start
    for replica in started:
        replica.kill()


@pytest.mark.parametrize("bug", bugs.names())
def test_a_server_with_a_bug_starts_healthy_and_leads(bug: str, start_with: Callable[[str], SabotagedReplica]) -> None:
    replica = start_with(bug)
    wait_until(lambda: replica.is_ready() or replica.process.poll() is not None, what=f"a server with {bug} ready")
    assert replica.process.poll() is None, replica.log_path.read_text()
    assert f"this server has the bug {bug}" in replica.log_path.read_text()
    wait_until(lambda: replica.metric("catalog_leader") == 1, what="it leads")


@pytest.mark.parametrize("bug", bugs.names())
def test_a_bug_says_what_is_broken_and_which_claim_must_fail(bug: str) -> None:
    loaded = bugs.load(bug)
    assert loaded.claim in CLAIMS
    row = re.search(rf"^\| `{bug}` \|.*$", DOCS.read_text(), re.MULTILINE)
    assert row, f"docs/sabotage.md has no row for {bug}"
    assert f"`{loaded.scenario}`" in row[0]
    assert f"`{loaded.claim}`" in row[0]


@pytest.mark.parametrize("sabotage", deployments.ALL, ids=lambda sabotage: sabotage.name)
def test_a_sabotage_fits_the_playbooks_and_says_which_claim_must_fail(
    sabotage: deployments.Sabotage, tmp_path: Path
) -> None:
    assert sabotage.claim in SCENARIOS[sabotage.scenario].claims
    assert f"| `{sabotage.name}` | {sabotage.words} |" in DOCS.read_text()
    playbooks = deployments.edited_playbooks(sabotage, tmp_path)
    changed = {name for name in sabotage.edits if (playbooks / name).read_text() != (PLAYBOOKS / name).read_text()}
    assert changed == set(sabotage.edits)


def test_an_unknown_bug_is_refused_with_the_names_of_all() -> None:
    done = subprocess.run([sys.executable, str(SERVE), "no-such"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "always-ready" in done.stderr


def _doubled(number: int) -> int:
    return number * 2


def test_an_edit_changes_a_function_wherever_it_is_used() -> None:
    known_elsewhere = _doubled
    editing.edit(_doubled, ("number * 2", "number * 3"))
    assert known_elsewhere(1) == 3


def test_an_edit_whose_text_is_not_there_is_refused() -> None:
    with pytest.raises(editing.BugDoesNotApply, match="0 times, not once: 'no such text'"):
        editing.edit(wait_until, ("no such text", ""))

"""Disasters and the runbook: the drill runs the words of the page and no others, in the right order."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from ha_verify import runbook
from ha_verify.faults import catalogue as faults
from ha_verify.faults import disaster
from ha_verify.faults.disaster import Disaster
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import NotPossible, Rows, Target, Timing
from ha_verify.targets.playbook import PLAYBOOKS, Playbook, PlaybookFailed
from unit.verify.test_member_faults import FIRST, SECOND, THIRD, FakeMembers

MADE: dict[str, Disaster] = {
    "failover": faults.LosePrimaryWithData(),
    "archive": faults.LoseAllData("archive"),
    "moment": faults.DeleteRows(),
    "dump": faults.LoseAllData("dump"),
}
MOMENT = "2026-01-31 12:00:00.000001+00:00"


class FakeDrill:
    """`fails`: the script that does."""

    def __init__(self, *, fails: str = "", deletes: bool = True) -> None:
        self.calls: list[str] = []
        self._fails, self._left = fails, 0 if deletes else 3

    async def destroy(self, members: Sequence[str]) -> str:
        self.calls.append(f"destroy {', '.join(members)}")
        return "gone"

    async def delete_rows(self) -> Rows:
        self.calls.append("delete")
        return Rows(MOMENT, 3, "7")

    async def rows_until(self, moment: str) -> Rows:
        found, self._left = self._left, 3
        return Rows(moment, found, "7")

    async def follow(self, script: str, **settings: str) -> str:
        self.calls.append(script + "".join(f"{key}={value}" for key, value in settings.items()))
        if script == self._fails:
            raise NotPossible("restore.yml failed")
        return ""


class FakeTarget:
    def __init__(self, drill: FakeDrill) -> None:
        self.drill = drill
        self.members = FakeMembers()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGE_SECONDS", "NOTICED_SECONDS"):
        monkeypatch.setattr(disaster, name, 0.0)


def inject(fault: Disaster, drill: FakeDrill) -> dict[str, Any]:
    return asyncio.run(fault.inject(cast(Target, FakeTarget(drill))))


@pytest.mark.parametrize(
    ("method", "destroyed", "settings"),
    [
        ("failover", f"destroy {FIRST}", ""),
        ("archive", f"destroy {FIRST}, {SECOND}, {THIRD}", ""),
        ("moment", "delete", f"MOMENT={MOMENT}"),
        ("dump", f"destroy {FIRST}, {SECOND}, {THIRD}", ""),
    ],
)
def test_the_disaster_comes_between_what_the_runbook_wants_before_and_what_it_says_to_do(
    method: str, destroyed: str, settings: str
) -> None:
    drill = FakeDrill()
    proof = inject(MADE[method], drill)
    steps = runbook.steps()
    before = [steps[f"{method}-before"]] if method != "failover" else []
    assert drill.calls == [*before, destroyed, steps[method] + settings]
    assert proof["method"] == method
    assert proof["script"] == steps[method].splitlines()
    assert proof["struck_at"] <= proof["gone_at"] <= proof["began_at"] <= proof["ended_at"] or method == "moment"


def test_the_lost_primary_is_made_anew_by_the_runbook_once() -> None:
    drill, fault = FakeDrill(), faults.LosePrimaryWithData()
    inject(fault, drill)
    target = cast(Target, FakeTarget(drill))
    assert asyncio.run(fault.heal(target))["member"] == FIRST
    assert asyncio.run(fault.heal(target)) == {}
    assert drill.calls[2:] == [runbook.step("failover-after") + f"LOST={FIRST}"]


def test_a_runbook_that_fails_is_a_result_and_no_failure_of_the_drill() -> None:
    proof = inject(MADE["archive"], FakeDrill(fails=runbook.step("archive")))
    assert proof["failed"] == "restore.yml failed"
    assert "ended_at" not in proof


def test_a_backup_that_fails_or_a_deletion_without_effect_is_no_trial() -> None:
    with pytest.raises(NotPossible):
        inject(MADE["archive"], FakeDrill(fails=runbook.step("archive-before")))
    with pytest.raises(FaultFailed, match="of 3 rows 3 are there after the deletion"):
        inject(MADE["moment"], FakeDrill(deletes=False))


def test_every_block_of_the_runbook_is_run_by_the_drill() -> None:
    """And every playbook that it names is there."""
    used = {*MADE, *(f"{method}-before" for method in MADE if method != "failover"), "failover-after"}
    assert set(runbook.steps()) == used
    named = re.findall(r"ansible-playbook (\S+)", runbook.RUNBOOK.read_text())
    assert named
    assert all((PLAYBOOKS / name).is_file() for name in named)


def test_bounds_are_those_of_the_playbooks() -> None:
    """The limit of the failover's task, and how often the archive confirms."""
    (failover,) = re.findall(r"(?m)^ +timeout: (\d+)$", (PLAYBOOKS / "failover.yml").read_text())
    receiver = (PLAYBOOKS / "roles" / "backup" / "files" / "wal_archive.py").read_text()
    (confirmed,) = re.findall(r"--status-interval=(\d+)", receiver)
    assert (float(failover), float(confirmed)) == (Timing().database_replaced, Timing().archive_confirmed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```sh\nrm -r data\n```\n", "the drill does not know when to run 'rm -r data"),
        ("```sh drill=a\ntrue\n```\n```sh drill=a\nfalse\n```\n", "there are two blocks for the step 'a'"),
        ("```sh drill=a\ntrue\n```\n", "there is no block for the step 'b', only a"),
    ],
)
def test_a_page_that_can_not_be_followed_is_refused(text: str, message: str, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(runbook.RunbookError, match=re.escape(message)):
        runbook.step("b", page)


def test_a_script_finds_the_playbooks_with_the_variables_of_the_deployment(tmp_path: Path) -> None:
    state_dir = str(tmp_path / "of this deployment")
    playbook = Playbook("verification", {"state_dir": state_dir}, tmp_path / "log")
    said = playbook.follow(
        'echo "$LOST"; ansible-playbook --version; ansible-playbook destroy.yml --list-tasks', LOST="x"
    )
    assert said.startswith("x\n")
    with pytest.raises(PlaybookFailed, match=re.escape(json.dumps(state_dir)[1:-1])):
        playbook.follow("ansible-playbook failover.yml")


@pytest.mark.parametrize("script", ["false\necho on", 'echo "$UNKNOWN"'])
def test_a_script_ends_with_its_first_failure(script: str, tmp_path: Path) -> None:
    with pytest.raises(PlaybookFailed) as caught:
        Playbook("verification", {}, tmp_path / "log").follow(script)
    assert "\non" not in str(caught.value)

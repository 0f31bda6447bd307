"""The list of the playbooks says of each what it does with --check, and misses none."""

import re
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parents[2]
PLAYBOOKS = {path.name: path for path in (PROJECT / "playbooks").glob("*.yml")}
ROWS = re.findall(r"^\| `([\w-]+\.yml)` \| .* \| (.*) \|$", (PROJECT / "docs/playbooks.md").read_text(), re.MULTILINE)
REFUSAL = "common/not_in_check_mode.yml"


def test_every_playbook_is_listed_once() -> None:
    assert [name for name, _ in ROWS] == sorted(PLAYBOOKS, key=lambda name: name.removesuffix(".yml"))


@pytest.mark.parametrize(("name", "check"), ROWS)
def test_check_is_refused_before_anything_else_or_said_to_be_possible(name: str, check: str) -> None:
    plays = yaml.safe_load(PLAYBOOKS[name].read_text())
    imports = [play.get("ansible.builtin.import_playbook") for play in plays]
    assert (imports[0] == REFUSAL) is (check == "refused")
    assert REFUSAL not in imports[1:]

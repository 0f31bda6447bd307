"""Deployments whose database is set up, or failed over, in a way that loses what it promises.

As with the bugs of a server: an edit of a playbook's file finds the very text it replaces, or nothing is run.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.sabotage.editing import Edit, replaced

PROJECT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Sabotage:
    """`variables` are those of the playbooks, `edits` by file below `playbooks/`."""

    name: str
    words: str
    scenario: str
    claim: str
    variables: Mapping[str, Any] = field(default_factory=dict)
    edits: Mapping[str, Edit] = field(default_factory=dict)


ALL = (
    Sabotage(
        "asynchronous-commit",
        "Commits are acknowledged as if a replica had them, and none is asked: synchronous_standby_names is empty.",
        "split-brain",
        "writes-kept",
        variables={"postgresql_synchronous_replicas": 0},
    ),
    Sabotage(
        "primary-not-fenced",
        "A replica is promoted, and nothing is done to the primary that does not answer.",
        "split-brain",
        "one-writable-primary",
        edits={"library/postgresql_failover.py": ("        fence(cluster, lost)\n", "        pass\n")},
    ),
)
BY_NAME = {sabotage.name: sabotage for sabotage in ALL}


def edited_playbooks(sabotage: Sabotage, folder: Path) -> Path:
    """Makes a project in the folder that is this one but for the edits; returns its playbooks.

    Raises `editing.BugDoesNotApply`.
    """
    for path in PROJECT.iterdir():
        if path.name not in ("playbooks", ".state", ".git"):
            (folder / path.name).symlink_to(path)
    playbooks = folder / "playbooks"
    shutil.copytree(PROJECT / "playbooks", playbooks)
    for name, (old, new) in sabotage.edits.items():
        file = playbooks / name
        file.write_text(replaced(file.read_text(), old, new, where=name))
    return playbooks

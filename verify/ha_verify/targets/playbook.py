"""Runs a playbook of this project against one deployment."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[3]
PLAYBOOKS = PROJECT / "playbooks"
BIN = Path(sys.executable).parent
TAIL_LINES = 60


class PlaybookFailed(Exception):
    """The message names the playbook, shows what Ansible said of the failed step, and how to repeat the run."""


class Playbook:
    """Playbooks with one inventory and one set of extra variables. Their output is kept in `log`."""

    def __init__(self, inventory: str, variables: Mapping[str, Any], log: Path) -> None:
        self._inventory = f"inventories/{inventory}"
        self._variables = dict(variables)
        self._log = log

    def run(self, name: str, **overrides: Any) -> str:
        """Runs to the end; returns what was printed. Raises `PlaybookFailed`."""
        if not (PLAYBOOKS / self._inventory).is_dir():
            raise PlaybookFailed(f"playbooks/{self._inventory} is missing: the checkout is not complete")
        variables = json.dumps(self._variables | overrides)
        command = [str(BIN / "ansible-playbook"), "-i", self._inventory, name, "--extra-vars", variables]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
        began = time.monotonic()
        result = subprocess.run(  # noqa: S603 - a command of this project
            command,
            cwd=PLAYBOOKS,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._note(name, overrides, time.monotonic() - began, result.stdout)
        if result.returncode:
            raise PlaybookFailed(
                f"{name} failed with exit code {result.returncode}:\n{failure(result.stdout)}\n"
                f"All of it: {self._log}. Again: cd playbooks && ansible-playbook -i {self._inventory} {name} "
                f"--extra-vars '{variables}'"
            )
        return result.stdout

    def _note(self, name: str, overrides: Mapping[str, Any], seconds: float, output: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"=== {time.strftime('%F %T')} {name} {json.dumps(overrides)} took {seconds:.1f} s\n{output}\n")


def failure(output: str) -> str:
    """The part of Ansible's output that tells what failed: from the first failed step to the recap."""
    lines = output.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith(("fatal:", "[ERROR]", "ERROR!"))), 0)
    last = next((number for number, line in enumerate(lines) if line.startswith("PLAY RECAP")), len(lines))
    return "\n".join(lines[first:last][-TAIL_LINES:] if first < last else lines[-TAIL_LINES:])

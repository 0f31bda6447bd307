"""Runs a playbook of this project against one deployment."""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
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
        result = self._do(command, f"{name} {json.dumps(overrides)}")
        if result.returncode:
            raise PlaybookFailed(
                f"{name} failed with exit code {result.returncode}:\n{failure(result.stdout)}\n"
                f"All of it: {self._log}. Again: cd playbooks && ansible-playbook -i {self._inventory} {name} "
                f"--extra-vars '{variables}'"
            )
        return result.stdout

    def follow(self, script: str, **settings: str) -> str:
        """Runs a script of the shell to its end, or to the first command that fails; returns what was printed.

        In it `ansible-playbook` knows the inventory and the variables of this deployment, which a person would have
        in a file. `settings` are variables of the shell. Raises `PlaybookFailed`.
        """
        with tempfile.TemporaryDirectory(prefix="runbook-") as folder:
            variables = Path(folder) / "variables.json"
            variables.write_text(json.dumps(self._variables), encoding="utf-8")
            words = shlex.join([str(BIN / "ansible-playbook"), "-i", self._inventory, "--extra-vars", f"@{variables}"])
            command = Path(folder) / "ansible-playbook"
            command.write_text(f'#!/bin/sh\nexec {words} "$@"\n', encoding="utf-8")
            command.chmod(0o700)
            result = self._do(["/bin/sh", "-e", "-u", "-c", script], script, path=folder, **settings)
        if result.returncode:
            raise PlaybookFailed(
                f"{script.strip()!r} failed with exit code {result.returncode}:\n{failure(result.stdout)}\n"
                f"All of it: {self._log}"
            )
        return result.stdout

    def _do(
        self, command: Sequence[str], told: str, *, path: str = "", **settings: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}
        if path:
            environment["PATH"] = f"{path}:{environment['PATH']}"
        began = time.monotonic()
        result = subprocess.run(  # noqa: S603 - a command of this project, or of its runbook
            command,
            cwd=PLAYBOOKS,
            env=environment | settings,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self._note(told.strip(), time.monotonic() - began, result.stdout)
        return result

    def _note(self, told: str, seconds: float, output: str) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a", encoding="utf-8") as log:
            log.write(f"=== {time.strftime('%F %T')} {told} took {seconds:.1f} s\n{output}\n")


def failure(output: str) -> str:
    """The part of Ansible's output that tells what failed: from the first failed step to the recap."""
    lines = output.splitlines()
    first = next((number for number, line in enumerate(lines) if line.startswith(("fatal:", "[ERROR]", "ERROR!"))), 0)
    last = next((number for number, line in enumerate(lines) if line.startswith("PLAY RECAP")), len(lines))
    return "\n".join(lines[first:last][-TAIL_LINES:] if first < last else lines[-TAIL_LINES:])

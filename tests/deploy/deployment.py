"""The real playbooks, run on free ports in a folder of their own; and their modules, loaded as code."""

import importlib
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import ansible.module_utils

PROJECT = Path(__file__).parents[2]
PLAYBOOKS = PROJECT / "playbooks"
BIN = Path(sys.executable).parent
REPLICAS_MAX = 9

# Where modules find what they share: Ansible puts it into this package when it runs one.
ansible.module_utils.__path__.append(str(PLAYBOOKS / "module_utils"))


class Deployment:
    """The variables of one deployment, and what a person does with it: run playbooks, look, ask."""

    def __init__(self, folder: Path) -> None:
        self.state_dir = folder / "state"
        base = free_port_range(2 * REPLICAS_MAX + 4)
        self.variables: dict[str, object] = {
            "state_dir": str(self.state_dir),
            "http_port": base,
            "haproxy_stats_port": base + 1,
            "postgresql_port": base + 2,
            "replica_port_base": base + 3,
            "database_proxy_port_base": base + 3 + REPLICAS_MAX,
            # Short, so that a test of a killed leader is.
            "leadership_lease_seconds": 4,
            "leadership_renew_deadline_seconds": 3,
            "leadership_retry_seconds": 0.5,
            "drain_seconds": 1.5,
        }
        self.url = f"http://127.0.0.1:{base}"

    def play(self, playbook: str, *options: str, **overrides: object) -> subprocess.CompletedProcess[str]:
        """Runs a playbook to its end, successful or not; its output is one text."""
        return subprocess.run(
            [BIN / "ansible-playbook", playbook, *options, "--extra-vars", json.dumps(self.variables | overrides)],
            cwd=PLAYBOOKS,
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def succeed(self, playbook: str, *options: str, **overrides: object) -> str:
        """Runs a playbook that must succeed; returns its output."""
        result = self.play(playbook, *options, **overrides)
        assert result.returncode == 0, result.stdout
        return result.stdout

    def fail(self, playbook: str, *options: str, **overrides: object) -> str:
        """Runs a playbook that must be refused; returns its output."""
        result = self.play(playbook, *options, **overrides)
        assert result.returncode != 0, result.stdout
        return result.stdout

    def supervisorctl(self, *arguments: str) -> str:
        command = [BIN / "supervisorctl", "-c", self.state_dir / "config" / "supervisord.conf", *arguments]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout

    def pid(self, program: str) -> int:
        return int(self.supervisorctl("pid", program))


def free_port_range(count: int) -> int:
    """The first of `count` adjoining ports that are free, below the range of outgoing connections."""
    for base in range(18000 + os.getpid() % 100 * 100, 32000, count):
        sockets = [socket.socket() for _ in range(count)]
        try:
            for offset, listener in enumerate(sockets):
                listener.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
        finally:
            for listener in sockets:
                listener.close()
    raise RuntimeError("no free ports")


def changes(output: str) -> int:
    """Steps of a playbook's run that changed something."""
    return int(re.findall(r"changed=(\d+)", output)[-1])


def load_module(name: str) -> ModuleType:
    """A module of playbooks/library, which is not a package."""
    return _load(name, PLAYBOOKS / "library" / f"{name}.py")


def load_module_utils(name: str) -> ModuleType:
    """What modules share."""
    return importlib.import_module(f"ansible.module_utils.{name}")


def load_file(name: str, path: Path) -> ModuleType:
    """A program of a role's files."""
    return _load(name, path)


def _load(name: str, path: Path) -> ModuleType:
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module

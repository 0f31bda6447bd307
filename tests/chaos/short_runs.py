"""`ha-verify run` in its short form, again and again on one deployment with quick timings."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.sabotage import bugs

PROJECT = Path(__file__).parents[2]
SEED = 20  # of all runs: a server with a bug is held against the same schedule as the one without
BIN = Path(sys.executable).parent
SERVE = Path(__file__).parent / "sabotage" / "serve.py"
PROGRAM = (BIN / "ha-verify",)
QUICK: dict[str, Any] = {
    # In the ratios of the defaults.
    "leadership_lease_seconds": 4,
    "leadership_renew_deadline_seconds": 2.7,
    "leadership_retry_seconds": 0.5,
    "settings": {
        "probes_enabled": True,
        "jobs_claim_lease_seconds": 3,
        "jobs_heartbeat_seconds": 0.8,
        "database_deadline_seconds": 1.5,
        "database_connect_timeout_seconds": 1,
        "replica_timeout_seconds": 2,
    },
}


@dataclass(frozen=True)
class Verdict:
    """What `ha-verify run --json` said: its exit code, and the document."""

    code: int
    document: dict[str, Any]

    def results(self) -> dict[str, str]:
        return {claim["claim"]: claim["result"] for claim in self.document["claims"]}


class ShortRuns:
    """A deployment of its own, beside that of `make verify` and that of a user: kept from run to run.

    `number` tells those that run at the same time apart.
    """

    def __init__(self, number: int) -> None:
        port_base = 27000 + 100 * number
        self._variables = QUICK | {
            "state_dir": str(PROJECT / ".state" / f"chaos-{number}"),
            "http_port": port_base,
            "replica_port_base": port_base + 1,
            "haproxy_stats_port": port_base + 10,
            "postgresql_port": port_base + 11,
            "database_proxy_port_base": port_base + 20,
        }

    def run(
        self,
        scenario: str,
        *options: str,
        report: Path,
        program: Sequence[str | Path] = PROGRAM,
        keep: bool = True,
        **variables: Any,
    ) -> Verdict:
        """`options` are further words of the command line, `variables` further ones of the playbooks.

        `program` is another one than `ha-verify`, with the same command line. Without `keep` the deployment is
        destroyed afterwards.
        """
        pairs = [f"{key}={json.dumps(value)}" for key, value in (self._variables | variables).items()]
        command = [*program, "run", scenario, "--short", "--json", "--seed", str(SEED), *options]
        command += ["--keep"] if keep else []
        command += ["--report", report, *(word for pair in pairs for word in ("-e", pair))]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        assert done.stdout, done.stderr
        return Verdict(done.returncode, json.loads(done.stdout))

    def run_bug(self, name: str, report: Path) -> tuple[bugs.Bug, Verdict]:
        """Servers with this bug, in the scenario that it is to be found by."""
        bug = bugs.load(name)
        command = f"{sys.executable} {SERVE} {name} serve"
        return bug, self.run(bug.scenario, *bug.options, report=report, server_command=command)

    def destroy(self) -> None:
        """Ends the deployment and deletes its data."""
        words = json.dumps({"state_dir": self._variables["state_dir"]})
        for playbook in ("down.yml", "destroy.yml"):
            command = [BIN / "ansible-playbook", "-i", "inventories/verification", playbook, "--extra-vars", words]
            subprocess.run(command, cwd=PROJECT / "playbooks", capture_output=True, check=True)

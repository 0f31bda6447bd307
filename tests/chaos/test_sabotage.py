"""The verification finds every seeded bug, for the right claim, and finds nothing in the server as it is."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaos.sabotage import bugs

PROJECT = Path(__file__).parents[2]
SERVE = Path(__file__).parent / "sabotage" / "serve.py"
HA_VERIFY = Path(sys.executable).with_name("ha-verify")
SEED = 20
VARIABLES: dict[str, Any] = {
    # A deployment of its own, beside that of `make verify` and that of a user.
    "state_dir": str(PROJECT / ".state" / "sabotage"),
    "http_port": 28080,
    "replica_port_base": 28081,
    "haproxy_stats_port": 28090,
    "postgresql_port": 28432,
    "database_proxy_port_base": 28440,
    # Quick timings, in the ratios of the defaults.
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
pytestmark = pytest.mark.timeout(400)


@dataclass(frozen=True)
class Verdict:
    """What `ha-verify run --json` said: its exit code, and the document."""

    code: int
    document: dict[str, Any]

    def results(self) -> dict[str, str]:
        return {claim["claim"]: claim["result"] for claim in self.document["claims"]}


Run = Callable[..., Verdict]


def ha_verify(scenario: str, *options: str, report: Path, **variables: Any) -> Verdict:
    """Runs a scenario in its short form, on a deployment that is kept for the next."""
    pairs = [f"{key}={json.dumps(value)}" for key, value in (VARIABLES | variables).items()]
    command = [str(HA_VERIFY), "run", scenario, "--short", "--keep", "--json", "--seed", str(SEED), *options]
    command += ["--report", str(report), *(word for pair in pairs for word in ("-e", pair))]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return Verdict(done.returncode, json.loads(done.stdout))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    def run(scenario: str, *options: str, **variables: Any) -> Verdict:
        return ha_verify(scenario, *options, report=tmp_path_factory.mktemp("report"), **variables)

    yield run
    state_dir = VARIABLES["state_dir"]
    for playbook in ("down.yml", "destroy.yml"):
        command = [str(HA_VERIFY.with_name("ansible-playbook")), "-i", "inventories/verification", playbook]
        command += ["--extra-vars", json.dumps({"state_dir": state_dir})]
        subprocess.run(command, cwd=PROJECT / "playbooks", capture_output=True, check=True)


SCENARIOS = sorted({(bugs.load(name).scenario, bugs.load(name).options) for name in bugs.names()})


@pytest.mark.parametrize(("scenario", "options"), SCENARIOS, ids=[" ".join((s, *o)) for s, o in SCENARIOS])
def test_the_server_as_it_is_passes(scenario: str, options: tuple[str, ...], run: Run) -> None:
    verdict = run(scenario, *options)
    assert verdict.results() == dict.fromkeys(verdict.results(), "PASS"), verdict.document
    assert verdict.code == 0


@pytest.mark.parametrize("name", bugs.names())
def test_a_bug_is_found_for_the_right_claim(name: str, run: Run) -> None:
    bug = bugs.load(name)
    command = f"{sys.executable} {SERVE} {name} serve"
    verdict = run(bug.scenario, *bug.options, server_command=command)
    assert verdict.results()[bug.claim] == "FAIL", verdict.document
    assert verdict.code != 0

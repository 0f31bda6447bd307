"""Every scenario in its short form against a deployment of its own: it ends, and the server upholds every claim."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ha_verify.scenarios import SCENARIOS

PROJECT = Path(__file__).parents[2]
HA_VERIFY = Path(sys.executable).with_name("ha-verify")
VARIABLES: dict[str, Any] = {
    # A deployment of its own, beside that of `make verify` and that of a user.
    "state_dir": str(PROJECT / ".state" / "chaos"),
    "http_port": 27080,
    "replica_port_base": 27081,
    "haproxy_stats_port": 27090,
    "postgresql_port": 27432,
    "database_proxy_port_base": 27440,
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
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def variables() -> Iterator[list[str]]:
    """Options that name the deployment; it is kept from test to test, and destroyed in the end."""
    yield [word for key, value in VARIABLES.items() for word in ("-e", f"{key}={json.dumps(value)}")]
    words = json.dumps({"state_dir": VARIABLES["state_dir"]})
    for playbook in ("down.yml", "destroy.yml"):
        command = [HA_VERIFY.with_name("ansible-playbook"), "-i", "inventories/verification", playbook]
        subprocess.run([*command, "--extra-vars", words], cwd=PROJECT / "playbooks", capture_output=True, check=True)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_with_every_claim_upheld(name: str, variables: list[str], tmp_path: Path) -> None:
    report = tmp_path / "report"
    command = [HA_VERIFY, "run", name, "--short", "--keep", "--json", "--seed", "7", "--report", report, *variables]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    assert done.stdout, done.stderr
    verdict = json.loads(done.stdout)
    amiss = [claim for claim in verdict["claims"] if claim["result"] != "PASS"]
    assert (done.returncode, verdict["result"]) == (0, "PASS"), (amiss, verdict["untried"])
    assert (report / "index.html").is_file()
    assert json.loads((report / "verdict.json").read_text()) == verdict

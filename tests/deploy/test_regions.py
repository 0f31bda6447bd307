"""A second region on this machine: set up, looked at, cut off, promoted after the loss of the first; in this order."""

import json
import os
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest

from catalog_server.db.deadline import deadline
from deploy.database import SteadyWriter, ask
from deploy.deployment import BIN, Deployment, changes
from support.postgres import wait_until

pytestmark = pytest.mark.timeout(1200)

SENT = ("catalog_sources", "catalog_labels", "catalog_models", "catalog_artifacts", "jobs", "job_attempts", "probes")
QUIET = {"refresh_interval_seconds": 3600, "probes_enabled": True}


@pytest.fixture(scope="module")
def first(deployment: Deployment) -> Deployment:
    """The first region: one replica, serving."""
    deployment.variables |= {
        "replicas": 1,
        "drain_seconds": 0,
        "postgresql_wal_level": "logical",
        "settings": QUIET,
    }
    deployment.succeed("deploy.yml")
    return deployment


@pytest.fixture(scope="module")
def second(first: Deployment) -> Iterator[Deployment]:
    """The second one's variables; its ports are chosen while the first one holds its own."""
    made = Deployment(first.state_dir.parent / "second")
    same = ("replicas", "drain_seconds", "postgresql_wal_level", "settings")
    made.variables |= {name: first.variables[name] for name in same}
    made.variables["first_region_state_dir"] = str(first.state_dir)
    made.state_dir.parent.mkdir(mode=0o755)
    yield made
    made.succeed("destroy.yml")


def words(output: str) -> str:
    """Without Ansible's line breaks."""
    return " ".join(output.split())


def rows(deployment: Deployment, sql: str) -> list[tuple]:  # type: ignore[type-arg]
    return ask(deployment, "postgresql", sql)


def contents(deployment: Deployment) -> list[list[tuple]]:  # type: ignore[type-arg]
    return [rows(deployment, f"SELECT * FROM {table} ORDER BY 1") for table in SENT]


def written(deployment: Deployment) -> set[int]:
    return {int(row[0]) for row in rows(deployment, r"SELECT value FROM probes WHERE value ~ '^\d+$'")}


def sender(first: Deployment) -> psutil.Process:
    """The process of the first region's PostgreSQL that sends to the second."""
    folder = str(first.state_dir / "postgresql" / "data")
    # Of one that ends meanwhile nothing is known.
    processes = [each for each in psutil.process_iter(["cwd", "cmdline"]) if each.info["cwd"] == folder]
    (found,) = (each for each in processes if "walsender" in " ".join(each.info["cmdline"] or []))
    return found


def test_the_second_region_receives_what_is_written_in_the_first(first: Deployment, second: Deployment) -> None:
    rows(first, "INSERT INTO probes VALUES ('before', now())")
    output = second.succeed("second-region.yml")
    assert re.search(r"second .* follows .* \d+ bytes, 0\.\d+ s", output)
    assert contents(second) == contents(first)
    assert len(rows(second, "SELECT 1 FROM catalog_models")) > 0

    rows(first, "INSERT INTO probes VALUES ('after', now()), ('changed', '2020-01-01')")
    rows(first, "UPDATE probes SET created_at = '2021-01-01' WHERE value = 'changed'")
    rows(first, "DELETE FROM probes WHERE value = 'before'")
    rows(first, "UPDATE catalog_models SET search_text = 'changed' WHERE id = (SELECT min(id) FROM catalog_models)")
    wait_until(lambda: contents(second) == contents(first), what="insert, update and delete in the second region")


def test_what_belongs_to_the_processes_of_one_region_stays_there(first: Deployment, second: Deployment) -> None:
    for table in ("replicas", "leadership_leases", "leadership_epochs", "leadership_terms"):
        assert rows(first, f"SELECT 1 FROM {table}"), table
        assert not rows(second, f"SELECT 1 FROM {table}"), table


def test_a_second_run_changes_nothing_and_no_server_runs(second: Deployment) -> None:
    assert changes(second.succeed("second-region.yml")) == 0
    refused = words(second.fail("deploy.yml"))
    assert "is a second region" in refused
    assert "promote-region.yml" in refused
    assert "replica-1" not in second.supervisorctl("status")


def test_the_password_is_in_its_two_files_only_and_reads_what_is_sent_only(
    first: Deployment, second: Deployment
) -> None:
    password = (first.state_dir / "secrets" / "postgresql_region_password").read_text()
    assert (second.state_dir / "postgresql" / "first_region.pgpass").stat().st_mode & 0o777 == 0o600
    for folder in (state / name for state in (first.state_dir, second.state_dir) for name in ("config", "logs")):
        for path in (path for path in folder.rglob("*") if path.is_file()):
            assert password not in path.read_text(errors="replace"), path
    login = f"host=127.0.0.1 port={first.variables['postgresql_port']} user=region_replicator password={password}"
    with deadline(10):
        connection = psycopg2.connect(f"{login} dbname=catalog")
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM probes")
        with pytest.raises(psycopg2.Error, match="permission denied"):
            cursor.execute("SELECT * FROM leadership_leases")
        connection.close()
        for refused in ("dbname=postgres", "dbname=catalog replication=true"):
            with pytest.raises(psycopg2.OperationalError, match=r"rejects|no pg_hba\.conf entry"):
                psycopg2.connect(f"{login} {refused}").close()


def test_a_first_region_whose_schema_is_newer_is_refused(first: Deployment, second: Deployment) -> None:
    rows(first, "INSERT INTO schema_migrations VALUES (3, 'later', 'x', 1, now(), 'test', 1)")
    try:
        refused = words(second.fail("second-region.yml"))
    finally:
        rows(first, "DELETE FROM schema_migrations WHERE number = 3")
    assert "the first region is at schema version 0003_later, and the second one knows 0002_probes" in refused


def test_a_promotion_is_refused_while_the_first_region_serves(second: Deployment) -> None:
    refused = words(second.fail("promote-region.yml"))
    assert "the first region works: its database answers, and replica-1 run" in refused
    assert "replica-1" not in second.supervisorctl("status")


def test_a_lost_region_is_replaced_and_the_loss_is_told_in_numbers(first: Deployment, second: Deployment) -> None:
    rows(
        first,
        """INSERT INTO jobs (kind, payload, state, priority, run_at, attempt, max_attempts, claim_token, worker_id,
                             claimed_at, claim_expires_at, created_at)
           VALUES ('probe', '{"value": "of no one"}', 'running', 0, now(), 1, 8, nextval('job_claim_tokens'), 'w',
                   now(), now() + interval '1 day', now())""",
    )
    authorization = {"Authorization": f"Bearer {token(first)}"}
    writer = SteadyWriter(first, "INSERT INTO probes VALUES ((%s)::text, now())")
    with writer.running():
        wait_until(lambda: len(written(second)) > 20, what="twenty writes in the second region")
        sender(first).send_signal(signal.SIGSTOP)  # cut off, while the first region goes on
        sent = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > sent + 50, what="fifty writes that were not sent")
        behind = words(second.fail("status.yml", status_lag_max_bytes=0))
        assert "bytes behind, and status_lag_max_bytes is 0" in behind
        assert "more than 5.00 s" in behind
        greatest = rows(first, "SELECT max(id) FROM jobs")[0][0]
        kill(first)
    acknowledged = list(writer.acknowledged)

    output = second.succeed("promote-region.yml")
    assert "What it committed after that is lost" in output
    assert re.search(r"replica-1 .* leader", output)

    arrived = written(second)
    lost = set(acknowledged) - arrived
    assert len(lost) >= 50
    assert arrived == set(acknowledged[: len(acknowledged) - len(lost)]), (
        "what arrived is a state that the first one had"
    )
    told = re.search(r"committed there at (\S+)\.\n", output)
    assert told is not None

    wait_until(
        lambda: rows(second, "SELECT 1 FROM jobs WHERE kind = 'probe' AND state = 'completed'"),
        what="the completion of a job whose first worker is gone",
    )
    (effect,) = rows(second, "SELECT value FROM probe_effects")
    assert effect == ("of no one",)
    (ledger,) = rows(second, "SELECT outcome FROM job_attempts WHERE worker_id = 'w'")
    assert ledger == ("rescued",)
    request = urllib.request.Request(f"{second.url}/api/v1/sources/house/refresh", method="POST", headers=authorization)
    with urllib.request.urlopen(request) as response:
        assert response.status == 202, "with a token of the first region"
        assert int(json.load(response)["id"]) > greatest + 1000, "beyond what the first region may have given out"

    bring_back_the_database_alone(first)
    output = second.succeed("promote-region.yml")
    assert changes(output) == 0
    counted = re.search(r"rows that were written in the first region after that: .*?(\d+) in probes", words(output))
    assert counted is not None, output
    there = written(first)
    unknown = there - set(acknowledged)  # committed, and the answer was cut off
    assert len(unknown) <= 1
    assert there - arrived == lost | unknown
    assert int(counted[1]) == len(lost | unknown)


def test_a_promoted_region_follows_nobody_again(second: Deployment) -> None:
    assert "was promoted, and what it holds since then nobody else has" in words(second.fail("second-region.yml"))


def test_an_upgrade_applies_what_is_pending_after_what_is_to_be_done_before(second: Deployment) -> None:
    before = second.state_dir.parent / "before.yml"
    done = second.state_dir.parent / "done"
    before.write_text(json.dumps([{"name": "Back up", "ansible.builtin.copy": {"content": "x", "dest": str(done)}}]))
    # As a deployment of the version before would be.
    rows(second, "DROP TABLE singleton_ticks, probe_effects, probes")
    rows(second, "DELETE FROM schema_migrations WHERE number = 2")
    output = second.succeed("db-upgrade.yml", db_upgrade_before=str(before))
    assert "Applied 0002_probes." in output
    assert done.exists()
    assert re.search(r"replica-1 .* yes .* leader", output)


def token(deployment: Deployment) -> str:
    environment = {
        "CATALOG_CONFIG_FILE": f"{deployment.state_dir}/config/catalog.yaml",
        "CATALOG_DATABASE_DSN_FILE": f"{deployment.state_dir}/secrets/database_dsn",
        "CATALOG_AUTH_SECRET_FILE": f"{deployment.state_dir}/secrets/auth_secret",
    }
    command = [BIN / "catalog-server", "token"]
    return subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def kill(deployment: Deployment) -> None:
    """Everything of a deployment at once, as when its machine is gone."""
    daemon = psutil.Process(int((deployment.state_dir / "run" / "supervisord.pid").read_text()))
    processes = [daemon, *daemon.children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=10)


def bring_back_the_database_alone(deployment: Deployment) -> None:
    programs = Path(deployment.state_dir / "config" / "programs")
    for path in (programs / "replica-1.conf", programs / "haproxy.conf"):
        path.unlink()
    subprocess.run([BIN / "supervisord", "-c", deployment.state_dir / "config" / "supervisord.conf"], check=True)

    def answers() -> bool:
        try:
            return bool(rows(deployment, "SELECT 1"))
        except psycopg2.OperationalError:
            return False

    wait_until(answers, what="the first region's database")

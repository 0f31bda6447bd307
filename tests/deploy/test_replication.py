"""A database of three members, taken through the loss of its primary and back, in the order of this file."""

import os
import re
import shutil
import signal
from pathlib import Path

import psycopg2
import pytest

from catalog_server.db.deadline import deadline
from deploy.database import NAMES, SteadyWriter, ask, primary
from deploy.deployment import Deployment, changes, free_port_range
from support.postgres import wait_until

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", autouse=True)
def replicated(deployment: Deployment) -> None:
    base = free_port_range(8)
    deployment.variables |= {
        "replicas": 1,
        "drain_seconds": 0,
        "postgresql_members": 3,
        "http_port": base,
        "haproxy_stats_port": base + 1,
        "replica_port_base": base + 2,
        "postgresql_port": base + 3,
    }
    deployment.url = f"http://127.0.0.1:{base}"


def words(output: str) -> str:
    """Without Ansible's line breaks."""
    return " ".join(output.split())


def states(output: str) -> dict[str, list[str]]:
    """Role and state of each member, from the table at the end of a run."""
    table = output[output.rindex("database ") :]
    return {line.split()[0]: line.split()[2:4] for line in table.splitlines() if line.startswith("postgresql")}


def has_everything(deployment: Deployment, writer: SteadyWriter) -> bool:
    """Whether each member has all that was acknowledged."""
    wanted = set(writer.acknowledged)
    assert wanted
    return all(wanted <= {row[0] for row in ask(deployment, name, "SELECT number FROM written")} for name in NAMES)


def empty_table(deployment: Deployment) -> SteadyWriter:
    ask(deployment, primary(deployment), "DROP TABLE IF EXISTS written; CREATE TABLE written (number integer)")
    return SteadyWriter(deployment)


def data(deployment: Deployment, member: str) -> Path:
    return deployment.state_dir / "postgresql" / member.replace("postgresql", "data")


def test_three_members_are_deployed_and_each_replica_confirms_what_is_written(deployment: Deployment) -> None:
    output = deployment.succeed("deploy.yml")
    assert states(output) == {
        "postgresql": ["primary", "takes"],
        "postgresql-2": ["standby", "synchronous"],
        "postgresql-3": ["standby", "synchronous"],
    }
    writer = empty_table(deployment)
    with writer.running():
        wait_until(lambda: len(writer.acknowledged) > 50, what="fifty writes")
    wait_until(lambda: has_everything(deployment, writer), what="the same rows everywhere")
    for name in NAMES[1:]:
        with pytest.raises(psycopg2.Error, match="read-only"):
            ask(deployment, name, "INSERT INTO written VALUES (0)")


def test_the_replication_password_is_in_its_two_files_only_and_replicates_only(deployment: Deployment) -> None:
    password = (deployment.state_dir / "secrets" / "postgresql_replication_password").read_text()
    lent = deployment.state_dir / "postgresql" / "replication.pgpass"
    assert lent.stat().st_mode & 0o777 == 0o600
    for folder in ("config", "logs"):
        for path in (path for path in (deployment.state_dir / folder).rglob("*") if path.is_file()):
            assert password not in path.read_text(errors="replace"), path
    port = deployment.variables["postgresql_port"]
    with deadline(10), pytest.raises(psycopg2.OperationalError, match="rejects connection"):
        psycopg2.connect(f"host=127.0.0.1 port={port} user=replicator dbname=catalog password={password}").close()


def test_a_switchover_under_a_steady_writer_loses_nothing(deployment: Deployment) -> None:
    writer = empty_table(deployment)
    with writer.running():
        output = deployment.succeed("switchover.yml", member="postgresql-2")
    measured = re.findall(r"postgresql-2 is the primary now, in place of postgresql\. .* waited (\S+) s", output)
    assert 0 < float(measured[0]) < 20
    assert states(output)["postgresql-2"] == ["primary", "takes"]
    assert states(output)["postgresql"] == ["standby", "synchronous"], "the former primary follows"
    wait_until(lambda: has_everything(deployment, writer), what="every acknowledged row everywhere")


def test_a_second_deploy_changes_nothing_whoever_is_the_primary(deployment: Deployment) -> None:
    assert changes(deployment.succeed("deploy.yml")) == 0
    assert primary(deployment) == "postgresql-2"


def test_what_would_harm_is_refused_and_nothing_is_changed(deployment: Deployment) -> None:
    assert "it is the primary" in words(deployment.fail("reinit-replica.yml", member="postgresql-2"))
    refused = words(deployment.fail("failover.yml"))
    assert "postgresql-2 is the primary and takes writes: nothing has failed" in refused
    assert primary(deployment) == "postgresql-2"


def test_a_killed_primary_is_replaced_without_losing_what_was_acknowledged(deployment: Deployment) -> None:
    writer = empty_table(deployment)
    control = data(deployment, "postgresql-2") / "global" / "pg_control"
    with writer.running():
        wait_until(lambda: len(writer.acknowledged) > 50, what="fifty writes")
        control.rename(control.with_name("away"))  # so that supervisord can not bring it back
        os.kill(deployment.pid("postgresql-2"), signal.SIGKILL)
        output = deployment.succeed("failover.yml")
    assert "in place of postgresql-2" in output
    assert "reinit-replica.yml -e member=postgresql-2" in words(output)
    assert states(output)["postgresql-2"] == ["none", "fenced"]
    assert primary(deployment) in ("postgresql", "postgresql-3")
    assert writer.longest_seconds < 60

    fenced = data(deployment, "postgresql-2").with_name("data-2.fenced")
    (fenced / "global" / "away").rename(fenced / "global" / "pg_control")
    assert "ERROR" in deployment.supervisorctl("start", "postgresql-2"), "what was replaced starts as nothing"

    output = deployment.succeed("reinit-replica.yml", member="postgresql-2")
    assert "postgresql-2 was rewound by pg_rewind" in output
    assert states(output)["postgresql-2"] == ["standby", "synchronous"]
    wait_until(lambda: has_everything(deployment, writer), what="every acknowledged row everywhere")


def test_a_failover_is_refused_while_a_replica_may_alone_hold_an_acknowledged_write(deployment: Deployment) -> None:
    lost = primary(deployment)
    others = [name for name in NAMES if name != lost]
    deployment.supervisorctl("stop", others[0])
    refused = words(deployment.fail("failover.yml", force=True))
    assert f"{others[0]} cannot be asked, and may alone hold what the primary acknowledged last" in refused
    assert primary(deployment) == lost, "and nobody was fenced"
    deployment.supervisorctl("start", others[0])
    wait_until(lambda: ask(deployment, others[0], "SELECT 1"), what="the replica's return")


def test_a_replica_whose_data_are_lost_is_copied(deployment: Deployment) -> None:
    victim = next(name for name in NAMES if name != primary(deployment))
    deployment.supervisorctl("stop", victim)
    shutil.rmtree(data(deployment, victim))
    output = deployment.succeed("reinit-replica.yml", member=victim)
    assert f"{victim} was copied by pg_basebackup (there was nothing to rewind)" in output
    assert states(output)[victim] == ["standby", "synchronous"]


def test_a_failover_that_was_interrupted_is_finished_by_another_run(deployment: Deployment) -> None:
    writer = empty_table(deployment)
    with writer.running():
        wait_until(lambda: len(writer.acknowledged) > 50, what="fifty writes")
    lost = primary(deployment)
    deployment.supervisorctl("stop", lost)
    data(deployment, lost).rename(f"{data(deployment, lost)}.fenced")  # and then the playbook was killed
    assert "run failover.yml" in words(deployment.fail("deploy.yml"))
    output = deployment.succeed("failover.yml")
    assert states(output)[lost] == ["none", "fenced"]
    written = ask(deployment, primary(deployment), "SELECT number FROM written")
    assert set(writer.acknowledged) <= {row[0] for row in written}

"""A database of three members whose primary is lost, in one way and another, and nobody does anything about it."""

import json
import os
import re
import shutil
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from catalog_server.db.errors import DatabaseUnavailable
from deploy.database import NAMES, SteadyWriter, ask, ask_restored, command, primary
from deploy.deployment import PROJECT, Deployment, changes, free_port_range
from deploy.test_replication import data, empty_table, has_everything, states, words
from support.postgres import wait_until

pytestmark = pytest.mark.timeout(900)

SECRETS = (
    "patroni_password",
    "etcd_password",
    "postgresql_replication_password",
    "postgresql_superuser_password",
    "postgresql_backup_password",
)


@pytest.fixture(scope="module", autouse=True)
def automatic(deployment: Deployment) -> None:
    base = free_port_range(12)
    deployment.variables |= {
        "replicas": 1,
        "drain_seconds": 0,
        "postgresql_members": 3,
        "postgresql_failover": "automatic",
        "postgresql_backups": True,
        "postgresql_backup_time": "",
        "http_port": base,
        "haproxy_stats_port": base + 1,
        "replica_port_base": base + 2,
        "postgresql_port": base + 3,
        "postgresql_failover_port_base": base + 6,
    }
    deployment.url = f"http://127.0.0.1:{base}"
    path = f"{PROJECT}/.cache/kubernetes/bin{os.pathsep}{os.environ['PATH']}"
    if not shutil.which("etcd", path=path):
        if not shutil.which("go"):
            pytest.skip("there is no etcd, and no Go to build it with: apt-get install etcd-server")
        deployment.succeed("etcd.yml")


def processes(deployment: Deployment, member: str) -> list[psutil.Process]:
    """The member's Patroni, and every process of its PostgreSQL."""
    folder = str(data(deployment, member))
    configuration = str(deployment.state_dir / "config" / f"{member}.yml")
    return [
        process
        for process in psutil.process_iter(["cwd", "cmdline"])
        if process.info["cwd"] == folder or configuration in (process.info["cmdline"] or [])
    ]


def send(group: list[psutil.Process], number: signal.Signals) -> None:
    for process in group:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def url_of(deployment: Deployment, member: str) -> str:
    port = int(str(deployment.variables["postgresql_failover_port_base"])) + 1 + NAMES.index(member)
    return f"http://127.0.0.1:{port}"


def said_by(deployment: Deployment, member: str, path: str = "patroni") -> dict[str, Any]:
    """What the member's Patroni says, of the member where not told otherwise; nothing where it does not answer."""
    try:
        with urllib.request.urlopen(f"{url_of(deployment, member)}/{path}", timeout=1) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
    except OSError:
        return {}


def is_whole(deployment: Deployment) -> bool:
    """One leads, the others follow it, and one of them may replace it."""
    said = [said_by(deployment, name) for name in NAMES]
    return (
        sorted(str(each.get("role")) for each in said) == ["primary", "replica", "replica"]
        and sum(each.get("replication_state") == "streaming" for each in said) == 2
        # Read from etcd now: what a replica says of itself may be from before a failover.
        and any(each["role"] == "sync_standby" for each in said_by(deployment, NAMES[0], "cluster").get("members", []))
    )


def leader(deployment: Deployment) -> str | None:
    """The member that says it leads, and takes writes."""
    for name in NAMES:
        said = said_by(deployment, name)
        if (said.get("role"), said.get("state")) == ("primary", "running"):
            return name
    return None


@contextmanager
def steady_writes(deployment: Deployment) -> Iterator[SteadyWriter]:
    """Of one who writes before and after what is done meanwhile, and finds all of it everywhere."""
    writer = empty_table(deployment)
    with writer.running():
        wait_until(lambda: len(writer.acknowledged) > 50, what="fifty writes")
        yield writer
        before = len(writer.acknowledged)
        wait_until(lambda: len(writer.acknowledged) > before + 50, seconds=60, what="fifty writes more")
    wait_until(lambda: is_whole(deployment), seconds=60, what="the return of all members")
    wait_until(lambda: is_everywhere(deployment, writer), seconds=60, what="every acknowledged row everywhere")


def is_everywhere(deployment: Deployment, writer: SteadyWriter) -> bool:
    """Not yet while a member restarts, which one that returns does more than once."""
    try:
        return has_everything(deployment, writer)
    except psycopg2.OperationalError:
        return False


def test_three_members_are_deployed_and_patroni_is_shown(deployment: Deployment) -> None:
    output = deployment.succeed("deploy.yml")
    assert states(output)["postgresql"] == ["primary", "takes"]
    assert {states(output)[name][0] for name in NAMES[1:]} == {"standby"}
    assert "primary, running" in output
    assert "sync standby, streaming" in output
    assert "replica, streaming" in output
    assert ask(deployment, "postgresql", "SHOW data_checksums") == [("on",)]


def test_passwords_are_in_files_of_their_reader_and_nothing_is_ordered_without_one(deployment: Deployment) -> None:
    secrets = [(deployment.state_dir / "secrets" / name).read_text() for name in SECRETS]
    for folder in ("config", "logs"):
        for path in (path for path in (deployment.state_dir / folder).rglob("*") if path.is_file()):
            found = any(secret in path.read_text(errors="replace") for secret in secrets)
            assert not found or path.stat().st_mode & 0o777 == 0o600, path
    arguments = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    assert not any(secret in line for secret in secrets for line in arguments)

    order = urllib.request.Request(f"{url_of(deployment, 'postgresql')}/restart", b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(order, timeout=5).close()
    etcd = f"http://127.0.0.1:{deployment.variables['postgresql_failover_port_base']}/v3/kv/range"
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(urllib.request.Request(etcd, b'{"key": "AA==", "range_end": "AA=="}'), timeout=5).close()
    assert b"user name is empty" in refused.value.read()


def test_a_second_deploy_changes_nothing(deployment: Deployment) -> None:
    assert changes(deployment.succeed("deploy.yml")) == 0


def test_a_killed_primary_is_replaced_at_once_and_follows_by_itself(deployment: Deployment) -> None:
    lost = primary(deployment)
    with steady_writes(deployment) as writer:
        send(processes(deployment, lost), signal.SIGKILL)
        wait_until(lambda: leader(deployment) not in (None, lost), what="a successor")
    assert writer.longest_seconds < 15
    assert said_by(deployment, lost)["role"] == "replica"


def test_a_frozen_primary_is_replaced_and_takes_no_write_when_it_wakes(deployment: Deployment) -> None:
    lost = primary(deployment)
    frozen = processes(deployment, lost)
    with steady_writes(deployment):
        send(frozen, signal.SIGSTOP)
        try:
            wait_until(lambda: leader(deployment) not in (None, lost), seconds=60, what="a successor")
        finally:
            send(frozen, signal.SIGCONT)
        # Until its Patroni has looked, it takes itself for the primary; but nobody confirms what it writes.
        with pytest.raises((psycopg2.Error, DatabaseUnavailable)):
            ask(deployment, lost, "INSERT INTO written VALUES (-1)")
    assert ask(deployment, primary(deployment), "SELECT FROM written WHERE number = -1") == []


def test_a_switchover_under_a_steady_writer_loses_nothing(deployment: Deployment) -> None:
    lost = primary(deployment)
    # The harder one: Patroni itself would refuse whoever is not synchronous.
    wanted = next(name for name in NAMES if name != lost and not said_by(deployment, name).get("sync_standby"))
    with steady_writes(deployment):
        output = deployment.succeed("switchover.yml", member=wanted)
    measured = re.findall(rf"{wanted} is the primary now, in place of {lost}\. .* waited (\S+) s", output)
    assert 0 < float(measured[0]) < 20
    assert states(output)[wanted] == ["primary", "takes"]


def test_the_next_primary_has_what_the_archive_had_not_received(deployment: Deployment) -> None:
    lost = primary(deployment)
    deployment.succeed("backup.yml")
    deployment.supervisorctl("stop", "wal-archive")
    ask(deployment, lost, "CREATE TABLE unreceived AS SELECT n FROM generate_series(1, 1000) AS n")
    for _ in range(6):  # more than is kept for nobody
        command(deployment, lost, "SELECT pg_logical_emit_message(true, 'test', 'a segment')", "SELECT pg_switch_wal()")
    send(processes(deployment, lost), signal.SIGKILL)
    wait_until(lambda: leader(deployment) not in (None, lost), what="a successor")
    wait_until(lambda: is_whole(deployment), seconds=60, what="the return of all members")
    for name in NAMES:
        command(deployment, name, "CHECKPOINT")  # whoever keeps nothing has removed it now
    deployment.supervisorctl("start", "wal-archive")
    output = deployment.succeed("restore.yml", beside=True)
    try:
        assert "What was written last may be missing" not in words(output)
        found = ask_restored(deployment, output, "SELECT count(*) FROM pg_class WHERE relname = 'unreceived'")
        assert found == [(1,)]
    finally:
        deployment.succeed("restore.yml", remove=True)


def test_what_would_harm_is_refused_and_a_replica_is_made_anew(deployment: Deployment) -> None:
    leads = primary(deployment)
    assert "takes writes: nothing has failed" in words(deployment.fail("failover.yml"))
    victim = next(name for name in NAMES if name != leads)
    mark = Path(data(deployment, victim)) / "mark"
    mark.touch()
    output = deployment.succeed("reinit-replica.yml", member=victim)
    assert f"{victim} was copied by Patroni, from {leads}." in output
    assert not mark.exists()
    assert primary(deployment) == leads


def test_a_person_may_take_over_and_give_it_back_and_data_and_primary_stay(deployment: Deployment) -> None:
    if primary(deployment) == "postgresql":  # the playbooks prefer the first member where nobody is the primary
        deployment.succeed("switchover.yml")
    leads = primary(deployment)
    rows = ask(deployment, leads, "SELECT count(*) FROM written")
    deployment.succeed("down.yml")
    for failover in ("manual", "automatic"):
        output = deployment.succeed("deploy.yml", postgresql_failover=failover)
        assert states(output)[leads] == ["primary", "takes"]
        assert ("sync standby" in output) == (failover == "automatic")
        assert (deployment.state_dir / "etcd").exists() == (failover == "automatic")
        assert ask(deployment, leads, "SELECT count(*) FROM written") == rows

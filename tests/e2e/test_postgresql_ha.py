"""The catalog on three members of PostgreSQL under Patroni: whichever member is lost, no acknowledged write is."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from e2e import waits
from e2e.cluster import Cluster
from e2e.steady_writer import SteadyWriter

pytestmark = pytest.mark.timeout(1800)

DATABASE = "catalog-server-db"
MEMBERS = f"app.kubernetes.io/instance={DATABASE},app.kubernetes.io/component=member"
VARIABLES: dict[str, Any] = {
    "postgresql_ha": True,
    "postgresql_ha_values": {
        "persistence": {"size": "1Gi", "takeOwnership": True},
        "dumps": {"enabled": True, "size": "1Gi"},
    },
    "settings": {"probes_enabled": True},
}


@pytest.fixture(scope="module")
def replicated(cluster: Cluster) -> Iterator[Cluster]:
    """The release on the database of this chart; afterwards on the one that the other tests have."""
    cluster.play("image.yml", event="images built", **VARIABLES)
    cluster.play("deploy.yml", **VARIABLES)
    yield cluster
    cluster.play("deploy.yml")
    cluster.helm("--namespace", "catalog", "uninstall", DATABASE, "--wait")
    # A volume goes when no pod of a job refers to it any more.
    kinds = "jobs,persistentvolumeclaims,services,endpoints"
    cluster.kubectl("delete", kinds, "--selector", f"app.kubernetes.io/instance={DATABASE}")


@pytest.fixture
def writer(replicated: Cluster) -> Iterator[SteadyWriter]:
    """Not one of its acknowledged writes may be lost."""
    wait_for_three(replicated)
    token = replicated.kubectl("exec", "deployment/catalog-server", "--", "catalog-server", "token").strip()
    writer = SteadyWriter(replicated.http_port, token)
    with writer.running():
        waits.until("fifty writes", lambda: len(writer.acknowledged) >= 50)
        yield writer
        acknowledged = len(writer.acknowledged)
        waits.until("fifty writes", lambda: len(writer.acknowledged) >= acknowledged + 50)
    assert writer.lost() == []
    print(f"{len(writer.acknowledged)} writes; the longest without one took {writer.longest_seconds:.1f} s")


def members(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """What Patroni says of each, asked of whichever answers."""
    for name in (f"{DATABASE}-{number}" for number in range(3)):
        try:
            told = cluster.kubectl("exec", name, "--container", "postgresql", "--", "patronictl", "list", "-f", "json")
        except subprocess.CalledProcessError:
            continue  # the next one may know
        return {each["Member"]: each for each in json.loads(told)}
    return {}


def primary(cluster: Cluster) -> str | None:
    found = [name for name, each in members(cluster).items() if each["Role"] == "Leader" and each["State"] == "running"]
    return found[0] if found else None


def primary_timeline(cluster: Cluster) -> int:
    """The newest that a primary runs on; 0 where none runs."""
    told = members(cluster).values()
    return max((each["TL"] for each in told if each["Role"] == "Leader" and each["State"] == "running"), default=0)


def wait_for_three(cluster: Cluster) -> None:
    """One primary, one that has all of it, and all three on its timeline."""

    def look() -> bool:
        told = members(cluster).values()
        roles = sorted(each["Role"] for each in told if each["State"] in ("running", "streaming"))
        return roles == ["Leader", "Replica", "Sync Standby"] and len({each["TL"] for each in told}) == 1

    waits.until("members streaming", look)


def wait_for_another_primary(cluster: Cluster, former: str) -> str:
    def look() -> str | None:
        now = primary(cluster)
        return now if now != former else None

    return waits.until("primary changed", look)


def test_three_members_on_three_nodes_with_volumes_that_stay_there(replicated: Cluster) -> None:
    wait_for_three(replicated)
    pods = replicated.get("pods", "--selector", MEMBERS)["items"]
    nodes = {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in pods}
    assert len(set(nodes.values())) == len(nodes) == 3
    volumes = replicated.get("persistentvolumes")["items"]
    bound = {each["spec"]["claimRef"]["name"]: json.dumps(each["spec"].get("nodeAffinity")) for each in volumes}
    for name, node in nodes.items():
        assert node in bound[f"data-{name}"]


def test_a_second_deploy_changes_nothing(replicated: Cluster) -> None:
    assert "Nothing changed" in replicated.play("deploy.yml", **VARIABLES)


def test_the_chart_s_own_test_passes(replicated: Cluster) -> None:
    replicated.helm("--namespace", "catalog", "test", DATABASE, "--logs")


def test_a_switchover_loses_nothing(replicated: Cluster, writer: SteadyWriter) -> None:
    former = primary(replicated)
    assert former is not None
    replicated.play("switchover.yml", **VARIABLES)
    wait_for_another_primary(replicated, former)
    wait_for_three(replicated)


def test_a_killed_primary_loses_nothing_and_three_members_stream_again(
    replicated: Cluster, writer: SteadyWriter
) -> None:
    former = primary(replicated)
    assert former is not None
    timeline = members(replicated)[former]["TL"]
    replicated.kubectl("delete", "pod", former, "--grace-period", "0", "--force", "--wait=false")
    # By itself, if its successor on the same node is back before the leader's lock has run out.
    waits.until("primary changed", lambda: primary_timeline(replicated) > timeline)
    wait_for_three(replicated)


def test_a_dump_brings_back_what_was_deleted_and_a_name_that_is_none_changes_nothing(replicated: Cluster) -> None:
    wait_for_three(replicated)
    ask(replicated, "CREATE TABLE kept AS SELECT n, md5(n::text) AS words FROM generate_series(1, 1000) AS n")
    checksum = "SELECT count(*), md5(string_agg(kept::text, '' ORDER BY n)) FROM kept"
    before = ask(replicated, checksum)
    assert "Removed: none" in replicated.play("backup.yml", **VARIABLES, dump=True)
    ask(replicated, "DELETE FROM kept; CREATE TABLE newer ()")
    told = replicated.play("restore-dump.yml", succeed=False, **VARIABLES, dump="yesterday.dump")
    assert "dump = yesterday.dump: there is no such dump on the volume. There are: catalog-" in " ".join(told.split())
    assert ask(replicated, checksum).startswith("0|")
    replicated.play("restore-dump.yml", **VARIABLES, dump="newest")
    assert ask(replicated, checksum) == before
    assert ask(replicated, "SELECT to_regclass('newer')") == ""
    assert len(replicated.ready_pods()) == 3
    ask(replicated, "DROP TABLE kept")


def ask(cluster: Cluster, sql: str) -> str:
    """As the application's role, on the primary."""
    words = [
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--host",
        "/run/postgresql",
        "--dbname",
        "catalog",
    ]
    command = ["psql", *words, "--command", f"SET ROLE catalog; {sql}"]
    return cluster.kubectl("exec", str(primary(cluster)), "--container", "postgresql", "--", *command).strip()

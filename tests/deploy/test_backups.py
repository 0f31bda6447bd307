"""A database of two members with backups: taken, verified, damaged, restored beside and in place, in this order."""

import datetime
import json
import re
import subprocess
from pathlib import Path

import psycopg2
import pytest

from catalog_server.db.deadline import deadline
from deploy.database import SteadyWriter, ask, ask_restored, primary
from deploy.deployment import BIN, Deployment, changes, free_port_range
from support.postgres import wait_until

pytestmark = pytest.mark.timeout(600)

CHECKSUM = "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric) FROM kept AS t"


@pytest.fixture(scope="module", autouse=True)
def backed_up(deployment: Deployment) -> None:
    base = free_port_range(8)
    deployment.variables |= {
        "replicas": 1,
        "drain_seconds": 0,
        "postgresql_members": 2,
        "postgresql_backups": True,
        "postgresql_backup_full_every": 3,
        "postgresql_backup_keep_full": 2,
        "postgresql_backup_time": "",
        "http_port": base,
        "haproxy_stats_port": base + 1,
        "replica_port_base": base + 2,
        "postgresql_port": base + 3,
    }
    deployment.url = f"http://127.0.0.1:{base}"


@pytest.fixture(scope="module")
def lost() -> dict[str, object]:
    """What is restored: until when, and what is to be there then."""
    return {}


def words(output: str) -> str:
    """Without Ansible's line breaks."""
    return " ".join(output.split())


def bases(deployment: Deployment) -> Path:
    return deployment.state_dir / "backups" / "base"


def records(deployment: Deployment) -> list[dict]:  # type: ignore[type-arg]
    return [json.loads(path.read_text()) for path in sorted(bases(deployment).glob("*/backup.json"))]


def password(deployment: Deployment, name: str) -> str:
    return (deployment.state_dir / "secrets" / f"postgresql_{name}_password").read_text()


def downgrade(deployment: Deployment) -> None:
    """Takes the newest version of the schema back."""
    environment = {"CATALOG_DATABASE_DSN_FILE": f"{deployment.state_dir}/secrets/database_dsn"}
    subprocess.run([BIN / "catalog-server", "db", "downgrade", "1"], env=environment, check=True)


def test_a_deployment_with_backups_receives_wal_and_its_status_says_so(deployment: Deployment) -> None:
    output = deployment.succeed("deploy.yml")
    assert re.search(r"none +0 +\d+ bytes behind", output)
    assert list((deployment.state_dir / "backups" / "wal").glob("*.partial"))


def test_the_password_of_the_archive_is_in_its_two_files_only_and_reads_no_table(deployment: Deployment) -> None:
    secret = password(deployment, "backup")
    for folder in ("config", "logs"):
        for path in (path for path in (deployment.state_dir / folder).rglob("*") if path.is_file()):
            assert secret not in path.read_text(errors="replace"), path
    for database in ("catalog", "postgres"):
        login = f"host=127.0.0.1 port={deployment.variables['postgresql_port']} user=backup dbname={database}"
        with deadline(10), pytest.raises(psycopg2.OperationalError, match="rejects connection"):
            psycopg2.connect(f"{login} password={secret}").close()


def test_a_restore_without_a_backup_is_refused_and_stops_nothing(deployment: Deployment) -> None:
    server = deployment.pid("replica-1")
    assert "there is no backup yet. Make one: backup.yml" in words(deployment.fail("restore.yml"))
    assert "must be a time with its offset from UTC" in words(deployment.fail("restore.yml", target_time="noon"))
    assert deployment.pid("replica-1") == server


def test_a_full_backup_is_taken_from_the_replica_and_an_incremental_one_adds_to_it(deployment: Deployment) -> None:
    output = deployment.succeed("backup.yml")
    assert re.search(r"full, \S+ MB in \S+ s, from postgresql-2, verified\.", output)
    ask(deployment, primary(deployment), "CREATE TABLE kept (number integer, words text)")
    ask(deployment, primary(deployment), "INSERT INTO kept SELECT n, md5(n::text) FROM generate_series(1, 5000) AS n")
    deployment.succeed("backup.yml")
    full, incremental = records(deployment)
    assert (incremental["kind"], incremental["parent"]) == ("incremental", full["id"]), incremental
    assert incremental["tables"]["public.kept"][0] == 5000


def test_a_backup_under_a_steady_writer_restores_exactly_what_was_noted(deployment: Deployment) -> None:
    ask(deployment, primary(deployment), "CREATE TABLE written (number integer)")
    writer = SteadyWriter(deployment)
    with writer.running():
        wait_until(lambda: len(writer.acknowledged) > 20, what="twenty writes")
        deployment.succeed("backup.yml")
    noted = records(deployment)[-1]["tables"]["public.written"]
    assert noted[0] > 20
    output = words(deployment.succeed("backup-verify.yml"))
    assert re.search(r"was restored in \d+ s: \d+ tables with \d+ rows, the same as when it was taken", output)
    assert not (deployment.state_dir / "postgresql" / "verifying").exists()


def test_a_damaged_backup_is_found(deployment: Deployment) -> None:
    newest = bases(deployment) / records(deployment)[-1]["id"]
    victim = newest / "data" / "PG_VERSION"
    content = victim.read_bytes()
    victim.write_bytes(b"81\n")
    assert "pg_verifybackup failed" in words(deployment.fail("backup-verify.yml"))
    victim.write_bytes(content)


def test_the_archive_follows_the_primary_and_a_deleted_row_comes_back_beside(
    deployment: Deployment, lost: dict[str, object]
) -> None:
    deployment.succeed("switchover.yml")
    assert primary(deployment) == "postgresql-2"
    # A later version of the server will find a migration pending in what is restored.
    deployment.supervisorctl("stop", "replica-1")
    downgrade(deployment)
    ask(deployment, "postgresql-2", "INSERT INTO kept VALUES (0, 'after the switchover')")
    before = ask(deployment, "postgresql-2", CHECKSUM)
    ((time,),) = ask(deployment, "postgresql-2", "SELECT clock_timestamp()")
    ask(deployment, "postgresql-2", "DELETE FROM kept")
    target = time.astimezone(datetime.UTC).isoformat(" ")
    lost.update(target=target, before=before)
    output = deployment.succeed("restore.yml", beside=True, target_time=target)
    assert ask_restored(deployment, output, CHECKSUM) == before
    assert ask(deployment, "postgresql-2", "SELECT count(*) FROM kept") == [(0,)], "the database is as it was"
    deployment.succeed("restore.yml", remove=True)
    assert not (deployment.state_dir / "postgresql" / "restored").exists()
    assert "restored" not in deployment.supervisorctl("status")

    early = "2020-01-01 00:00:00+00:00"
    assert "the oldest backup was complete at" in words(deployment.fail("restore.yml", target_time=early))


def test_a_restore_in_place_brings_rows_back_and_backs_up_before_it_migrates(
    deployment: Deployment, lost: dict[str, object]
) -> None:
    output = deployment.succeed("restore.yml", target_time=lost["target"])
    assert ask(deployment, "postgresql", CHECKSUM) == lost["before"]
    assert primary(deployment) == "postgresql"
    wait_until(lambda: ask(deployment, "postgresql-2", CHECKSUM) == lost["before"], what="the replica made anew")
    (kept,) = (deployment.state_dir / "postgresql").glob("data-2.replaced-*")
    assert str(kept) in words(output)
    assert [each["reason"] for each in records(deployment)[-2:]] == ["before migrations", "after a restore"]
    assert records(deployment)[-1]["kind"] == "full"
    assert changes(deployment.succeed("deploy.yml")) == 0


def test_without_backups_nothing_runs_for_them_and_the_backups_stay(deployment: Deployment) -> None:
    deployment.succeed("deploy.yml", postgresql_backups=False)
    assert "wal-archive" not in deployment.supervisorctl("status")
    assert "Deploy with postgresql_backups=true" in words(deployment.fail("backup.yml"))
    assert records(deployment)

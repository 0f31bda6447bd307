#!/usr/bin/python
"""Replaces what the application's database holds by a dump of pg_dump's custom format.

First the dump is read from its beginning to its end and the servers are stopped, so that nobody is served, or writes,
what is about to be replaced. Later, with a database there, the dump is loaded in one transaction.

Invariant: what was there is given up only when all of the dump is loaded. It waits under another name meanwhile, and
takes its place again where the load fails, or by the next run where this one is killed.
"""

import contextlib
from pathlib import Path

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_backups import Backups
from ansible.module_utils.postgresql_checksums import checksums
from ansible.module_utils.postgresql_cluster import HOST, Cluster, Failed, one_line
from ansible.module_utils.postgresql_programs import run
from tabulate import tabulate

ASIDE = "replaced_by_dump"


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "dump": {"type": "str", "required": True},
            "state": {"choices": ["checked", "loaded"], "required": True},
        }
    )
    try:
        cluster, backups = Cluster(module.params["state_dir"]), Backups(module.params["state_dir"])
        dump = find(module.params["dump"])
        if module.params["state"] == "checked":
            read(cluster, backups, dump)
            result = {"changed": turn_away(cluster)}
        else:
            tables = load(cluster, backups, dump)
            result = {"changed": True, "tables": tables, "summary": f"Restored from {dump}.\n{render(tables)}"}
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(**result)


def find(text):
    if not text:
        raise Failed("dump is not set: the file to be restored. Add -e dump=..., the newest of those in dumps/")
    if not Path(text).is_file():
        raise Failed(f"dump = {text}: there is no such file. Set dump to one that backup.yml -e dump=true made")
    return Path(text)


def read(cluster, backups, dump):
    """Raises `Failed` where it can not be read to its end."""
    pg_restore(cluster, backups, dump, "--file=/dev/null")


def turn_away(cluster):
    """Whether any server ran."""
    return bool([name for name in cluster.servers() if cluster.programs.end(name)])  # all of them, not one


def load(cluster, backups, dump):
    """By table: [rows, checksum]."""
    primary = cluster.the_primary()
    login = primary.login(HOST, primary.port) | {"dbname": backups.database, "options": ""}
    password = (cluster.state_dir / "secrets" / "postgresql_application_password").read_text().strip()
    address = f"host={HOST} port={primary.port} user={backups.database_role} dbname={backups.database}"
    put_back(login)
    execute(login, f"ALTER SCHEMA public RENAME TO {ASIDE}", "CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    try:
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", f"--dbname={address}")
        pg_restore(cluster, backups, dump, *options, PGPASSWORD=password)
    except BaseException:
        put_back(login)
        raise
    execute(login, f"DROP SCHEMA {ASIDE} CASCADE")
    return checksums(login)


def put_back(login):
    """What waits under the other name, if anything does."""
    with contextlib.closing(psycopg2.connect(**login)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", [ASIDE])
        if cursor.fetchone() is not None:
            cursor.execute(f"DROP SCHEMA public CASCADE; ALTER SCHEMA {ASIDE} RENAME TO public")


def execute(login, *statements):
    """All of them, or none."""
    with contextlib.closing(psycopg2.connect(**login)) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def pg_restore(cluster, backups, dump, *options, **environment):
    """Raises `Failed` with what it said last. The dump is handed over open: it may be closed to PostgreSQL's user."""
    with dump.open("rb") as file:
        command = [backups.bin / "pg_restore", *options]
        done = run(cluster.state_dir / "postgresql", command, stdin=file, **environment)
    if done.returncode:
        said = " ".join(done.stderr.split()[-60:])
        raise Failed(f"dump = {dump}: pg_restore failed: {said}. Nothing was replaced; choose another dump")


def render(tables):
    return tabulate([[name, *table] for name, table in tables.items()], headers=["table", "rows", "checksum"])


if __name__ == "__main__":
    main()

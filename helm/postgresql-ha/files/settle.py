"""Makes what the chart describes true where it can be made so, which is on the primary: roles, their passwords, the
database, and the configuration that Patroni keeps for all members.

    settle.py roles ADDRESS      when the cluster is made, before replicas can come
    settle.py ACTION ROLE SCOPE  whenever a member starts or its role changes

Patroni adds the address, and the words of the second form.

All of it may be repeated: only what differs is changed, but for passwords, which are set anew.
"""

import os
import sys
from pathlib import Path

import psycopg2
import psycopg2.extensions
import yaml
from psycopg2 import sql
from rest_api import RestApi

CONFIGURATION = Path("/etc/patroni/patroni.yaml")
PASSWORDS = Path("/secrets/passwords")

# What a role may, beside to log in. None may make roles or databases, or is a superuser.
ATTRIBUTES = {"replicator": "REPLICATION", "rewind": "NOREPLICATION", "monitoring": "NOREPLICATION"}
FUNCTIONS_OF_PG_REWIND = (
    "pg_ls_dir(text, boolean, boolean)",
    "pg_stat_file(text, boolean)",
    "pg_read_binary_file(text)",
    "pg_read_binary_file(text, bigint, bigint, boolean)",
)
# `patronictl pause` writes it; it is not the chart's to take away.
OF_THE_OPERATOR = ("pause",)


def settle_roles(connection, database, owner):
    cursor = connection.cursor()
    passwords = {"replicator": "replication", "rewind": "rewind", "monitoring": "monitoring", owner: "owner"}
    for role, of in passwords.items():
        cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,))
        if not cursor.rowcount:
            cursor.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
        # Only the verifier goes to the server: a password in a statement could end up in a log.
        password = (PASSWORDS / f"{of}_password").read_text(encoding="utf-8").rstrip("\n")
        verifier = psycopg2.extensions.encrypt_password(password, role, connection, "scram-sha-256")
        attributes = f"LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE {ATTRIBUTES.get(role, 'NOREPLICATION')}"
        statement = sql.SQL("ALTER ROLE {} WITH " + attributes + " PASSWORD {}")
        cursor.execute(statement.format(sql.Identifier(role), sql.Literal(verifier)))

    for function in FUNCTIONS_OF_PG_REWIND:
        cursor.execute(f"GRANT EXECUTE ON FUNCTION pg_catalog.{function} TO rewind")
    cursor.execute("GRANT pg_monitor TO monitoring")
    cursor.execute("REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    cursor.execute("GRANT CONNECT ON DATABASE postgres TO rewind, monitoring")

    cursor.execute("SELECT FROM pg_database WHERE datname = %s", (database,))
    if not cursor.rowcount:
        names = sql.Identifier(database), sql.Identifier(owner)
        cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
        cursor.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(names[0]))


def settle_configuration(api):
    """Raises RuntimeError where Patroni does not take it."""
    wanted = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["bootstrap"]["dcs"]
    status, present = api.get("/config")
    if status != 200:
        raise RuntimeError(f"GET /config: {status} {present}")
    wanted |= {name: present[name] for name in OF_THE_OPERATOR if name in present}
    if wanted != present:
        status, answer = api.order("PUT", "/config", wanted, timeout_seconds=10)
        if status != 200:
            raise RuntimeError(f"PUT /config: {status} {answer}")
        print("The configuration of the cluster is what the chart says", flush=True)


def connect():
    """As the superuser, by the socket; commits do not wait for replicas, which may need a password from here first."""
    connection = psycopg2.connect(
        host="/run/postgresql", user="postgres", dbname="postgres", options="-c synchronous_commit=local"
    )
    connection.autocommit = True
    return connection


def main():
    is_primary = sys.argv[2] in ("master", "primary")  # as Patroni before 4 and after call it
    if sys.argv[1] == "roles" or is_primary:
        settle_roles(connect(), os.environ["DATABASE_NAME"], os.environ["DATABASE_OWNER"])
        print("Roles and passwords are what the chart says", flush=True)
    if is_primary:
        settle_configuration(RestApi.of_this_member())


if __name__ == "__main__":
    main()

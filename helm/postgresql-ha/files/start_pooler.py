"""Starts PgBouncer: writes the one user that it serves into the file that it reads, which is never on a disk."""

import os
from pathlib import Path

PASSWORD = Path("/secrets/passwords/owner_password")
USERS = Path("/run/pgbouncer/userlist.txt")


def quoted(text):
    return '"' + text.replace('"', '""') + '"'


def main():
    os.umask(0o077)
    password = PASSWORD.read_text(encoding="utf-8").rstrip("\n")
    USERS.write_text(f"{quoted(os.environ['DATABASE_OWNER'])} {quoted(password)}\n", encoding="utf-8")
    os.execvp("pgbouncer", ["pgbouncer", "/etc/pooler/pgbouncer.ini"])  # noqa: S606, S607


if __name__ == "__main__":
    main()

"""Dumps the application's database, or puts a dump in the place of all that it holds. As its owner, who may do that.

    dump.py take KEEP       # onto the volume, of which the newest KEEP stay
    dump.py load NAME       # a file of the volume; `newest` for the newest

Invariants: a file with the name of a dump is whole, since it gets that name when it was read from its beginning to its
end. What was there is given up only when all of a dump is loaded: it waits under another name meanwhile, and takes its
place again where the load fails, or by the next load where this one is killed.
"""

import datetime
import fcntl
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psycopg2

FOLDER = Path("/dumps")
PASSWORD = Path("/secrets/passwords/owner_password")
ASIDE = "replaced_by_dump"
PATIENCE_SECONDS = 300


def take(keep):
    os.environ["PGTARGETSESSIONATTRS"] = "prefer-standby"  # the primary has clients to serve
    wait_for_database()
    moment = datetime.datetime.now(datetime.UTC)
    path = FOLDER / f"{os.environ['PGDATABASE']}-{moment:%Y%m%dT%H%M%SZ}.dump"
    new = path.with_suffix(".new")
    for left in FOLDER.glob("*.new"):  # of dumps that were interrupted
        left.unlink()
    run("pg_dump", "--format=custom", f"--file={new}")
    read(new)
    new.rename(path)
    os.sync()
    gone = dumps()[:-keep]
    for each in gone:
        each.unlink()
    print(f"{path.name}: {path.stat().st_size} bytes. Removed: {', '.join(each.name for each in gone) or 'none'}")


def load(name):
    os.environ["PGTARGETSESSIONATTRS"] = "read-write"
    path = find(name)
    read(path)
    put_back()
    execute(f"ALTER SCHEMA public RENAME TO {ASIDE}", "CREATE SCHEMA public AUTHORIZATION pg_database_owner")
    try:
        options = ("--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges")
        run("pg_restore", *options, f"--dbname={os.environ['PGDATABASE']}", str(path))
    except BaseException:
        put_back()
        raise
    execute(f"DROP SCHEMA {ASIDE} CASCADE")
    print(f"{path.name} is what the database holds now")


def wait_for_database():
    """It may be made just now, or change its primary. Whoever waits in vain fails with what the database says."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        try:
            connect().close()
        except psycopg2.OperationalError:
            time.sleep(1)
        else:
            return


def dumps():
    """The oldest first."""
    return sorted(FOLDER.glob("*.dump"))


def find(name):
    known = {path.name: path for path in dumps()}
    if name == "newest" and known:
        return list(known.values())[-1]
    if name not in known:
        sys.exit(f"dump = {name}: there is no such dump on the volume. There are: {', '.join(known) or 'none'}")
    return known[name]


def read(path):
    """From its beginning to its end."""
    run("pg_restore", "--file=/dev/null", str(path))


def put_back():
    """What waits under the other name, if anything does."""
    with closing(connect()) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", [ASIDE])
        if cursor.fetchone() is not None:
            cursor.execute(f"DROP SCHEMA IF EXISTS public CASCADE; ALTER SCHEMA {ASIDE} RENAME TO public")


def execute(*statements):
    """All of them, or none."""
    with closing(connect()) as connection, connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def connect():
    return psycopg2.connect(dbname=os.environ["PGDATABASE"])


def run(*command):
    """What it says goes to the log of the pod."""
    done = subprocess.run(command, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(f"{command[0]} failed: it ended with {done.returncode}")


def main():
    os.umask(0o077)
    os.environ["PGPASSWORD"] = PASSWORD.read_text(encoding="utf-8").rstrip("\n")
    with (FOLDER / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit("another dump or restore is under way: wait for its end")
        if sys.argv[1] == "take":
            take(int(sys.argv[2]))
        else:
            load(sys.argv[2])


if __name__ == "__main__":
    main()

"""A process that migrates, as a replica would, with schema versions made for tests.

It prints `ready`, waits for a line on standard input, and then reports what happens, one line each, until
`done: <versions it applied>` or `failed: <kind>: <message>`.
"""

import argparse
import os
import signal

from catalog_server.db import DatabaseUnavailable
from catalog_server.migrations import MigrationError, Runner, Version, lock

GATE = 42  # an advisory lock that a test holds to keep a version from going on
AT_GATE = f"SELECT pg_advisory_xact_lock({GATE});"


def version(number: int, postgresql: str, sqlite: str = "", *, down: str = "", **options: object) -> Version:
    """A version whose SQLite form is that of PostgreSQL unless said otherwise."""
    return Version(
        number=number,
        name=f"step{number}",
        oldest_server_head=options.pop("oldest_server_head", 1),  # type: ignore[arg-type]
        upgrade={"postgresql": postgresql, "sqlite": sqlite or postgresql},
        downgrade={"postgresql": down, "sqlite": down},
        **options,  # type: ignore[arg-type]
    )


_EFFECTS = "CREATE TABLE effects (version integer NOT NULL);"


def _effect(number: int, *, wait: str = "SELECT pg_sleep(0.1);") -> Version:
    insert = f"INSERT INTO effects VALUES ({number});"
    return version(number, wait + insert, insert)


_ITEMS = "CREATE TABLE items (id integer); INSERT INTO items SELECT generate_series(1, 1000);"

VERSION_SETS = {
    "chain": [version(1, _EFFECTS), *(_effect(number) for number in range(2, 6))],
    # The second version has made a table when it comes to the gate: who is killed there leaves it half done.
    "gate": [
        version(1, _EFFECTS),
        version(2, f"CREATE TABLE half_done (id integer); {AT_GATE} INSERT INTO effects VALUES (2);"),
    ],
    "index": [
        version(1, _ITEMS + AT_GATE),
        version(
            2,
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS items_id ON items (id);",
            down="DROP INDEX CONCURRENTLY IF EXISTS items_id;",
            transactional=False,
        ),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("versions", choices=VERSION_SETS)
    parser.add_argument("identity")
    parser.add_argument("--wait-seconds", type=float, default=60)
    parser.add_argument("--idle-holder-seconds", type=int, default=lock.IDLE_HOLDER_SECONDS)
    parser.add_argument("--pause-after", help="stop this process, as SIGSTOP does, after it said this")
    arguments = parser.parse_args()
    lock.IDLE_HOLDER_SECONDS = arguments.idle_holder_seconds

    def tell(message: str) -> None:
        print(message, flush=True)
        if arguments.pause_after and message.startswith(arguments.pause_after):
            os.kill(os.getpid(), signal.SIGSTOP)

    runner = Runner(
        arguments.dsn,
        versions=VERSION_SETS[arguments.versions],
        wait_seconds=arguments.wait_seconds,
        lock_timeout_seconds=600,
        identity=arguments.identity,
        progress=tell,
    )
    print("ready", flush=True)
    input()
    try:
        applied = runner.upgrade()
    except (MigrationError, DatabaseUnavailable) as error:
        print(f"failed: {type(error).__name__}: {error}", flush=True)
    else:
        print("done:", *(str(version.number) for version in applied), flush=True)


if __name__ == "__main__":
    main()

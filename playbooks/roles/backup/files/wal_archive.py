"""Receives the WAL of whoever takes writes into the archive, as it is written: run by supervisord.

pg_receivewal continues where the archive ends. After a failover or a restore the archive may hold WAL which is no part
of the database's history any more; pg_receivewal would ask for what follows on it, for ever, and a restore would take
that way. So before each connection what left the history is moved aside.

    wal_archive.py CONNECTION SLOT PG_RECEIVEWAL FOLDER ASIDE
"""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psycopg2
import psycopg2.extras

PAUSE_SECONDS = 0.5
SEGMENT_BYTES = 16 * 1024 * 1024
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(\.partial)?")
HISTORY = re.compile(r"([0-9A-F]{8})\.history")


def main(connection, slot, receiver, folder, aside):
    stopped, child = threading.Event(), None

    def stop(*_):
        stopped.set()
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    command = [receiver, f"--dbname={connection}", f"--slot={slot}", f"--directory={folder}"]
    said = None
    while not stopped.is_set():
        try:
            system, timeline, history = read_history(connection)
            refuse_another(system, Path(folder).parent / "system_identifier")
            for name in left_the_history([path.name for path in Path(folder).iterdir()], timeline, history):
                print(f"{name} is not in the history of timeline {timeline}: moved aside", flush=True)
                (Path(folder) / name).rename(Path(aside) / name)
        except (psycopg2.Error, AnotherCluster) as error:
            if str(error) != said:  # once, however often it is tried
                said = str(error)
                print(said.strip(), flush=True)
        else:
            said = None
            # On disk before it is confirmed, and confirmed every second.
            arguments = [*command, "--synchronous", "--status-interval=1", "--no-loop"]
            child = subprocess.Popen(arguments, **account_of(Path(folder)))  # noqa: S603
            if stopped.is_set():
                child.terminate()
            child.wait()
        stopped.wait(PAUSE_SECONDS)


class AnotherCluster(Exception):
    """What takes writes is not the database whose WAL the archive holds."""


def refuse_another(system, note):
    """The first cluster that is received from is noted, and no other's WAL is ever mixed with its."""
    if not note.exists():
        note.write_text(system)
    if (known := note.read_text()) != system:
        raise AnotherCluster(
            f"{note.parent} holds the backups of another database (system identifier {known}, not {system}). "
            "Restore that: restore.yml; or set postgresql_backup_dir to another folder"
        )


def account_of(folder):
    """PostgreSQL's user, whose the folder is, where we are root; root's Python may be closed to that user."""
    owner = folder.stat()
    return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}


def read_history(connection):
    """(the system identifier, the timeline, where each of its ancestors ended by timeline, in bytes)."""
    server = psycopg2.connect(connection, connection_factory=psycopg2.extras.PhysicalReplicationConnection)
    try:
        with server.cursor() as cursor:
            cursor.execute("IDENTIFY_SYSTEM")
            system, timeline = cursor.fetchone()[:2]
            if timeline == 1:
                return system, timeline, {}
            cursor.execute(f"TIMELINE_HISTORY {timeline}")
            content = cursor.fetchone()[1]
    finally:
        server.close()
    return system, timeline, parse_history(content if isinstance(content, str) else bytes(content).decode())


def parse_history(content):
    lines = [line.split() for line in content.splitlines() if line.strip() and not line.startswith("#")]
    return {int(words[0]): lsn_bytes(words[1]) for words in lines}


def lsn_bytes(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def left_the_history(names, timeline, history):
    """Those files which hold, or may hold, what the timeline did not go on with.

    The segment in which an ancestor ended is among them: the timeline's own copy of it holds all that is common.
    """
    found = []
    for name in sorted(names):
        if match := SEGMENT.fullmatch(name):
            number = (int(match[2], 16) << 8) + int(match[3], 16)
            owner = int(match[1], 16)
            kept = owner == timeline or (owner in history and number < history[owner] // SEGMENT_BYTES)
        elif match := HISTORY.fullmatch(name):
            kept = int(match[1], 16) in {timeline, *history}
        else:
            kept = True
        if not kept:
            found.append(name)
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])

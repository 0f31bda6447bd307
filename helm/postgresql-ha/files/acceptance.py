"""The basics: one primary, every other member streams from it, and each address leads to whom it should.

    acceptance.py MEMBERS SYNCHRONOUS ADDRESSES...

MEMBERS are host names of all of them, with commas; SYNCHRONOUS is how many must be in step; ADDRESSES are files with
one each, of which those named replicas_dsn are for reads.
"""

import sys
import time
from pathlib import Path

from rest_api import AUTHORITY, RestApi

PATIENCE_SECONDS = 120  # the last member may still be cloned


def amiss(members, synchronous):
    """What does not hold yet of the members, by the API of each name; None where all does."""
    cluster = next(iter(members.values())).get("/cluster")[1]
    names = [each["name"] for each in cluster["members"]]
    leaders = [each["name"] for each in cluster["members"] if each["role"] == "leader"]
    if len(leaders) != 1:
        return f"{len(leaders)} members are primary: {', '.join(leaders)}"
    if sorted(names) != sorted(members):
        return f"members are {', '.join(names)}, not {', '.join(members)}"
    status, primary = members[leaders[0]].get("/primary")
    if status != 200:
        return f"{leaders[0]} has the lock and is not the primary: {primary}"
    senders = primary.get("replication", [])
    streaming = {each["application_name"] for each in senders if each["state"] == "streaming"}
    missing = sorted(set(names) - set(leaders) - streaming)
    if missing:
        return f"not streaming from {leaders[0]}: {', '.join(missing)}"
    in_step = [each["application_name"] for each in senders if each["sync_state"] in ("sync", "quorum")]
    if len(in_step) < synchronous:
        return f"{len(in_step)} replicas are in step, not {synchronous}"
    print(
        f"primary: {leaders[0]}; streaming: {', '.join(sorted(streaming))}; in step: {', '.join(in_step) or 'nobody'}"
    )
    return None


def misled(address):
    """Whether the address in this file leads to the wrong kind of member; None where it does not."""
    import psycopg2

    own = {"sslrootcert": str(AUTHORITY)} if AUTHORITY.exists() else {}
    connection = psycopg2.connect(address.read_text(encoding="utf-8"), **own)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery()")
            in_recovery = cursor.fetchone()[0]
            if in_recovery != (address.name == "replicas_dsn"):
                return f"{address.name} leads to a {'replica' if in_recovery else 'primary'}"
            if not in_recovery:
                cursor.execute("SELECT pg_current_xact_id()")  # a write, as far as replication goes
    finally:
        connection.close()
    print(f"{address.name}: right")
    return None


def main():
    members = {host.partition(".")[0]: RestApi(host) for host in sys.argv[1].split(",")}
    synchronous, addresses = int(sys.argv[2]), [Path(each) for each in sys.argv[3:]]
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            problem = amiss(members, synchronous)
            if problem is None:
                problem = next(filter(None, map(misled, addresses)), None)
        except Exception as error:  # whatever it is may be over in a moment
            problem = repr(error)
        if problem is None:
            return
        if time.monotonic() > give_up_at:
            sys.exit(problem)
        time.sleep(1)


if __name__ == "__main__":
    main()

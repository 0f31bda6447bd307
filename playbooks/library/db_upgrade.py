#!/usr/bin/python
"""Applies what is pending of the schema while servers run, and stops where those who follow the database fall behind.

Every version expands for the servers that run, or is refused before anything is changed: what contracts comes with the
release after the one whose servers do without it. A version that was stopped is rolled back by the database, and
applied by the next run.
"""

import json
import subprocess
import time

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Failed, one_line
from ansible.module_utils.region_view import slots
from ansible.module_utils.regions import Region, history

from catalog_server.db.deadline import deadline
from catalog_server.migrations import VERSIONS

LOOK_SECONDS = 0.2
CALL_SECONDS = 20
END_SECONDS = 30
ALIVE_SECONDS = 10  # replica_timeout_seconds of the servers

# Whether it is connected or not: what is kept for one that is away grows just as well.
_BEHIND = """
    SELECT slot_name AS name, (pg_current_wal_lsn() - COALESCE(confirmed_flush_lsn, restart_lsn))::bigint AS bytes
    FROM pg_replication_slots WHERE COALESCE(confirmed_flush_lsn, restart_lsn) IS NOT NULL AND NOT temporary
    ORDER BY bytes DESC LIMIT 1
"""
_ALIVE = """
    SELECT name, schema_head AS head FROM replicas
    WHERE last_seen_at > clock_timestamp() - make_interval(secs => %s) ORDER BY schema_head, name
"""
# A server that works on a long statement does not notice that its client is gone.
_END_SESSION = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'catalog-server/migrations'
"""


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "second_region_state_dir": {"type": "str", "default": ""},
            "command": {"type": "list", "elements": "str", "required": True},
            "lag_max_bytes": {"type": "int", "required": True},
        },
        supports_check_mode=True,  # says what is pending, and refuses what would be refused
    )
    given = module.params
    region = Region(given["state_dir"])
    second = Region(given["second_region_state_dir"]) if given["second_region_state_dir"] else None
    try:
        pending = plan(region, second, VERSIONS)
        summary = "The schema is current."
        if pending:
            refuse_to_fall_behind(region, given["lag_max_bytes"])
        if pending and not module.check_mode:
            applied, most = apply(region, given["command"], given["lag_max_bytes"])
            summary = (
                f"Applied {', '.join(applied) or 'nothing: a server did'}. Followers were {most} bytes behind at most."
            )
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    done = {} if module.check_mode else {"summary": summary}
    module.exit_json(changed=bool(pending), pending=[str(version) for version in pending], **done)


def plan(region, second, versions):
    """The versions that are pending. Raises `Failed` unless running servers and a second region can live with them."""
    with deadline(CALL_SECONDS):
        known = {row["number"] for row in history(region)}
        pending = [version for version in versions if version.number not in known]
        alive = region.rows(_ALIVE, [ALIVE_SECONDS]) if pending and known else []
        for version in pending:
            old = [row for row in alive if row["head"] < version.oldest_server_head]
            if old:
                raise Failed(
                    f"version {version} contracts: it needs servers that know {version.oldest_server_head:04d}, and "
                    f"{', '.join(row['name'] for row in old)} know {old[0]['head']:04d}. Deploy a release in between "
                    "first, or stop them: down.yml, then deploy.yml"
                )
        if pending and slots(region):
            refuse_to_go_first(second, pending)
    return pending


def refuse_to_go_first(second, pending):
    """What a newer first region sends would have no place in an older second one."""
    if second is None:
        raise Failed(
            f"{', '.join(map(str, pending))}: a second region follows, and is migrated first. Run second-region.yml of "
            "this checkout there, and name it: -e second_region_state_dir=..."
        )
    known = {row["number"] for row in history(second)}
    missing = [str(version) for version in pending if version.number not in known]
    if missing:
        raise Failed(
            f"second_region_state_dir = {second.state_dir}: lacks {', '.join(missing)}, and is migrated first. Run "
            "second-region.yml of this checkout there"
        )


def behind(region):
    """(who is furthest behind, by how many bytes); ("", 0) where nobody follows."""
    with deadline(CALL_SECONDS):
        rows = region.rows(_BEHIND)
    return (rows[0]["name"], rows[0]["bytes"]) if rows else ("", 0)


def refuse_to_fall_behind(region, lag_max_bytes):
    who, number = behind(region)
    if number > lag_max_bytes:
        raise Failed(
            f"db_upgrade_lag_max_bytes = {lag_max_bytes}: {who} is {number} bytes behind already. Bring it back first "
            "(status.yml), or raise db_upgrade_lag_max_bytes"
        )


def apply(region, command, lag_max_bytes):
    """(versions that were applied, the most bytes that a follower was behind). Raises `Failed`."""
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    most = 0
    try:
        while process.poll() is None:
            who, number = behind(region)
            most = max(most, number)
            if number > lag_max_bytes:
                raise Failed(
                    f"db_upgrade_lag_max_bytes = {lag_max_bytes}: {who} came to be {number} bytes behind, so the "
                    "migration was stopped. What was under way is rolled back; versions applied before stay. Run it "
                    "again when the follower has caught up, or raise db_upgrade_lag_max_bytes"
                )
            time.sleep(LOOK_SECONDS)
    finally:
        if process.poll() is None:
            process.terminate()
            with deadline(CALL_SECONDS):
                region.rows(_END_SESSION)
        said, complaint = process.communicate(timeout=END_SECONDS)
    if process.returncode:
        raise Failed(f"the schema was not upgraded: {one_line(complaint)}")
    return json.loads(said)["applied"], most


if __name__ == "__main__":
    main()

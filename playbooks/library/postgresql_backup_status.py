#!/usr/bin/python
"""Tells the newest backup with its age, and how far the archive of WAL is behind whoever takes writes."""

import time

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_backups import Backups, end_and_archived, moment, now
from ansible.module_utils.postgresql_cluster import POLL_SECONDS, Cluster, Failed
from tabulate import tabulate


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "timeout_seconds": {"type": "float", "default": 0},  # how long to wait for an archive that receives
        },
        supports_check_mode=True,
    )
    try:
        cluster, backups = Cluster(module.params["state_dir"]), Backups(module.params["state_dir"])
    except Failed as failed:
        module.fail_json(msg=str(failed))
    give_up_at = time.monotonic() + module.params["timeout_seconds"]
    while (behind := bytes_behind(cluster)) is None and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
    summary = render(backups.records(), behind)
    if behind is None:
        module.fail_json(msg="The archive receives no WAL: see wal-archive.log (make logs)", summary=summary)
    module.exit_json(changed=False, bytes_behind=behind, summary=summary)


def bytes_behind(cluster):
    """None where the archive does not receive, or nobody takes writes that it could receive."""
    try:
        end, archived = end_and_archived(cluster.the_primary())
    except (Failed, psycopg2.Error):
        return None
    return None if archived is None else max(0, end - archived)


def render(records, behind):
    newest = records[-1] if records else None
    row = [
        newest["id"] if newest else "none",
        newest["kind"] if newest else "",
        age(now() - moment(newest["ended_at"])) if newest else "",
        f"{newest['bytes'] / 1e6:.1f} MB" if newest else "",
        len(records),
        "does not receive" if behind is None else f"{behind} bytes behind",
    ]
    return tabulate([row], headers=["newest backup", "kind", "age", "size", "backups", "archive of WAL"])


def age(duration):
    minutes = int(duration.total_seconds()) // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} d"


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Looks at the members of the PostgreSQL cluster, waits until all is well with them, and makes a table of them."""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import POLL_SECONDS, Cluster
from ansible.module_utils.postgresql_view import find_problems, look, render


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "timeout_seconds": {"type": "float"},  # how long to wait; without it what is wrong is returned, not refused
        },
        supports_check_mode=True,
    )
    cluster, timeout_seconds = Cluster(module.params["state_dir"]), module.params["timeout_seconds"]
    give_up_at = time.monotonic() + (timeout_seconds or 0)
    while (problems := find_problems(views := look(cluster))) and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
    summary = {"summary": render(views)} if len(views) > 1 else {}
    if problems and timeout_seconds is not None:
        module.fail_json(msg="\n".join(["Not everything works:"] + [f"- {p}" for p in problems]), **summary)
    primaries = cluster.primaries()
    module.exit_json(
        changed=False,
        problems=problems,
        members=[member.name for member in cluster.members],
        # What the data folders say, whether the members run or not.
        with_data=[member.name for member in cluster.members if member.has_data],
        primaries=[member.name for member in primaries],
        failover=("automatic" if cluster.is_automatic else "manual") if views else "",
        has_leader=bool(cluster.leaders()),
        **summary,
    )


if __name__ == "__main__":
    main()

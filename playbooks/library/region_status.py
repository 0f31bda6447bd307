#!/usr/bin/python
"""Looks at how one region follows another, from either of them, and makes a table of it; nothing where none does."""

import time

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Failed, one_line
from ansible.module_utils.region_view import View, find_problems, render, render_followers
from ansible.module_utils.regions import Region

PAUSE_SECONDS = 0.2


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "lag_max_bytes": {"type": "int", "required": True},
            "timeout_seconds": {"type": "float", "default": 0},  # how long to wait until all is well
        },
        supports_check_mode=True,
    )
    region = Region(module.params["state_dir"])
    note = region.note.read()
    if note.get("state") != "second":
        table = render_followers(region)
        module.exit_json(changed=False, **({"summary": table} if table else {}))
    give_up_at = time.monotonic() + module.params["timeout_seconds"]
    try:
        while True:
            view = View(Region(note["first_region"]), region)
            problems = find_problems(view, module.params["lag_max_bytes"])
            if not problems or time.monotonic() >= give_up_at:
                break
            time.sleep(PAUSE_SECONDS)
    except (Failed, OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    if problems:
        module.fail_json(msg="\n".join(["Not everything works:"] + [f"- {p}" for p in problems]), summary=render(view))
    module.exit_json(
        changed=False,
        summary=render(view),
        bytes=int(view.slot["bytes"]),
        seconds=view.seconds,
        newest_commit=view.newest.isoformat() if view.newest else None,
    )


if __name__ == "__main__":
    main()

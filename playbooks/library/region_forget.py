#!/usr/bin/python
"""Gives up second regions that are gone: the first one keeps nothing for them any more."""

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Failed, one_line
from ansible.module_utils.region_view import slots
from ansible.module_utils.regions import PUBLICATION, Region


def main():
    module = AnsibleModule(argument_spec={"state_dir": {"type": "path", "required": True}})
    first = Region(module.params["state_dir"])
    try:
        forgotten = forget(first)
    except (Failed, OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    summary = f"Given up: {', '.join(forgotten)}." if forgotten else "No second region follows this one."
    module.exit_json(changed=bool(forgotten), summary=summary)


def forget(first):
    """Returns the names of what was dropped."""
    found = slots(first)
    connected = [name for name, slot in found.items() if slot["active"]]
    if connected:
        raise Failed(
            f"{', '.join(connected)}: a second region is connected. Stop it (down.yml -e state_dir=...), or promote it"
        )
    for name in found:
        first.rows("SELECT pg_drop_replication_slot(%s)", [name])
    published = first.rows("SELECT 1 FROM pg_publication WHERE pubname = %s", [PUBLICATION])
    if published:
        first.rows(f"DROP PUBLICATION {PUBLICATION}")
    return [*found, *([f"publication {PUBLICATION}"] if published else [])]


if __name__ == "__main__":
    main()

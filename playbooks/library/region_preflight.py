#!/usr/bin/python
"""Checks, before anything is changed, that one deployment can be the second region of another.

Every problem is reported at once, each naming the variable, its value and the remedy.
"""

from pathlib import Path

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Failed, one_line
from ansible.module_utils.regions import Region, history, schema_problem, sent_tables

from catalog_server.db.deadline import deadline
from catalog_server.migrations import VERSIONS

DATABASE_SECONDS = 30

NUMBERS = {  # the least of each
    "region_timeout_seconds": 1,
    "region_number_gap": 0,
    "region_catch_up_seconds": 0,
}


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "first_region_state_dir": {"type": "str", "required": True},
            "postgresql_wal_level": {"type": "str", "required": True},
            "numbers": {"type": "dict", "required": True},
            "marker_file": {"type": "str", "required": True},  # its name in the folder of a deployment
        },
        supports_check_mode=True,
    )
    given = module.params
    problems = number_problems(given["numbers"])
    if given["postgresql_wal_level"] != "logical":
        problems.append(
            f"postgresql_wal_level = {given['postgresql_wal_level']}: a second region may be the first one day: it is "
            "logical here as well, and stays so after a promotion. Set postgresql_wal_level to logical"
        )
    problems += own_problems(Region(given["state_dir"]), given["first_region_state_dir"])
    where = first_region_problems(given["first_region_state_dir"], given["state_dir"], given["marker_file"])
    if not where:
        with deadline(DATABASE_SECONDS):
            where = schema_problems(Region(given["first_region_state_dir"]))
    problems += where
    if problems:
        module.fail_json(msg="\n".join(["A second region cannot work like this:"] + [f"- {p}" for p in problems]))
    module.exit_json(changed=False)


def number_problems(numbers):
    problems = []
    for name, least in NUMBERS.items():
        value = str(numbers[name])
        if not value.isdecimal() or int(value) < least:
            problems.append(f"{name} = {value}: must be a whole number of {least} or more. Set {name} to one")
    return problems


def own_problems(second, first_region):
    """What this deployment is by now."""
    note, programs = second.note.read(), second.state_dir / "config" / "programs"
    if note.get("state") == "promoted":
        return [
            f"state_dir = {second.state_dir}: was promoted, and what it holds since then nobody else has. To make "
            "another region follow this one, name that one's folder as state_dir, and this as first_region_state_dir"
        ]
    if note and note["first_region"] != first_region:
        return [
            f"first_region_state_dir = {first_region}: this region follows {note['first_region']}. Set "
            "first_region_state_dir to that, or begin anew after destroy.yml"
        ]
    if not note and sorted(programs.glob("replica-*.conf")):
        return [
            f"state_dir = {second.state_dir}: a deployment that serves by itself. Set state_dir to a folder that is "
            "empty or does not exist"
        ]
    return []


def first_region_problems(first_region, state_dir, marker_file):
    if not first_region.startswith("/"):
        return [
            f"first_region_state_dir = {first_region!r}: must be the state_dir of the region that is to be followed. "
            "Set first_region_state_dir to it"
        ]
    if Path(first_region) == Path(state_dir):
        return [
            f"first_region_state_dir = {first_region}: is the state_dir of the second region as well. Set state_dir to "
            "a folder of its own"
        ]
    if not (Path(first_region) / marker_file).is_file():
        return [
            f"first_region_state_dir = {first_region}: nothing is deployed there. Set it to a deployment's state_dir"
        ]
    if Region(first_region).note.read().get("state") == "second":
        return [f"first_region_state_dir = {first_region}: is a second region itself. Follow the first one"]
    return []


def schema_problems(first):
    """Judged with the versions of this checkout, to which the second region would be migrated."""
    versions = [
        {
            "number": version.number,
            "name": version.name,
            "checksum": version.checksum("postgresql"),
            "oldest_server_head": version.oldest_server_head,
        }
        for version in VERSIONS
    ]
    try:
        if first.rows("SELECT current_setting('wal_level') AS level")[0]["level"] != "logical":
            return [
                f"first_region_state_dir = {first.state_dir}: PostgreSQL's wal_level is not logical there. Run "
                "deploy.yml of that region with postgresql_wal_level=logical; it restarts PostgreSQL"
            ]
        sent_tables(first)
        problem = schema_problem(history(first), versions)
    except Failed as failed:
        problem = str(failed)
    except (OSError, psycopg2.Error) as error:
        problem = f"its database does not answer ({one_line(error)}). Start it: deploy.yml of that region"
    return [f"first_region_state_dir = {first.state_dir}: {problem}"] if problem else []


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Lets one region's database follow another's: a publication there, a subscription here, and the copy of what is there.

Repeated, it changes nothing where all is as it should be, and mends what is not: a table that a migration added, an
address that changed, a subscription that was switched off.

Invariant: what is sent is added to nothing. A region with rows of its own is refused, and one whose thread is broken is
emptied before it is copied anew.
"""

import contextlib

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Failed, one_line, wait_until
from ansible.module_utils.region_view import confirmed, mark, slots, subscription
from ansible.module_utils.regions import (
    PUBLICATION,
    SUBSCRIPTION,
    Region,
    history,
    schema_problem,
    sent_tables,
    slot_name,
)

DROP_SECONDS = 30


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},  # of the second region
            "first_region_state_dir": {"type": "path", "required": True},
            "role": {"type": "str", "required": True},  # that the second region reads with
            "passfile": {"type": "path", "required": True},
            "copy": {"type": "bool", "default": False},  # all anew, whatever is there
            "timeout_seconds": {"type": "float", "required": True},  # for the copy, and to catch up
        }
    )
    given = module.params
    first, second = Region(given["first_region_state_dir"]), Region(given["state_dir"])
    try:
        with second.cluster.lock():
            refuse_to_mix(first, second)
            changed = second.note.write(state="second", first_region=str(first.state_dir))
            changed |= publish(first, given["role"])
            changed |= follow(first, second, first.address(given["role"], given["passfile"]), given["copy"])
            wait_until_complete(first, second, given["timeout_seconds"])
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(changed=changed)


def refuse_to_mix(first, second):
    """Different schemas: rows would not fit, and nobody would notice before they arrive."""
    problem = schema_problem(history(first), history(second))
    if problem:
        raise Failed(problem)
    missing = set(sent_tables(first)) - set(sent_tables(second))
    if missing:
        raise Failed(
            f"the second region has no table {', '.join(sorted(missing))}. Run catalog-server db upgrade there"
        )


def publish(first, role):
    """In the first region: the tables that are sent, and the right to read them. Returns whether it was otherwise."""
    tables = sent_tables(first)
    with first.session() as cursor:
        cursor.execute("SELECT current_setting('wal_level') AS level")
        if cursor.fetchone()["level"] != "logical":
            raise Failed(
                f"{first.state_dir}: PostgreSQL's wal_level is not logical there. Run deploy.yml of that region with "
                "postgresql_wal_level=logical"
            )
        cursor.execute("SELECT FROM pg_publication WHERE pubname = %s", [PUBLICATION])
        exists = cursor.rowcount > 0
        cursor.execute("SELECT tablename AS name FROM pg_publication_tables WHERE pubname = %s", [PUBLICATION])
        published = {row["name"] for row in cursor.fetchall()}
        if not exists:
            cursor.execute(f"CREATE PUBLICATION {PUBLICATION} FOR TABLE {', '.join(tables)}")
        elif published != set(tables):
            cursor.execute(f"ALTER PUBLICATION {PUBLICATION} SET TABLE {', '.join(tables)}")
        unreadable = "SELECT name FROM unnest(%s) AS name WHERE NOT has_table_privilege(%s, name, 'SELECT')"
        cursor.execute(unreadable, [tables, role])
        ungranted = [row["name"] for row in cursor.fetchall()]
        if ungranted:
            cursor.execute(f"GRANT SELECT ON {', '.join(ungranted)} TO {role}")
    return not exists or published != set(tables) or bool(ungranted)


def follow(first, second, address, copy):
    """In the second region: the subscription. Returns whether it was otherwise."""
    slot, present = slot_name(second), subscription(second)
    kept = slots(first).get(slot)
    if copy:
        empty(first, second, present, kept)
        present = None
    elif present is not None and (kept is None or kept["lost"]):
        raise Failed(
            "the first region keeps nothing for this one any more (its primary was replaced, or this region was away "
            "for too long), so that changes are missing here. Copy all anew: second-region.yml -e copy=true"
        )
    if present is None:
        subscribe(first, second, address, slot)
        return True
    return mend(first, second, address, present)


def subscribe(first, second, address, slot):
    filled = [table for table in sent_tables(second) if second.rows(f"SELECT 1 FROM {table} LIMIT 1")]
    if filled:
        raise Failed(
            f"{second.state_dir}: {', '.join(filled)} of this region has rows already, to which those of the first "
            "region would be added. Give them up: second-region.yml -e copy=true"
        )
    drop_slot(first, slot)  # where an attempt was interrupted between the slot and the subscription
    # As the superuser's subscription it may read the password from a file; changes are applied with the rights of the
    # tables' owner. A change is confirmed when it is as durable here as any write.
    second.rows(
        f"CREATE SUBSCRIPTION {SUBSCRIPTION} CONNECTION %s PUBLICATION {PUBLICATION} "
        f"WITH (slot_name = {slot}, synchronous_commit = 'on', run_as_owner = false)",
        [address],
    )


def mend(first, second, address, present):
    changed = False
    with second.session() as cursor:
        cursor.execute("SELECT subconninfo AS address FROM pg_subscription WHERE oid = %s", [present["oid"]])
        if cursor.fetchone()["address"] != address:
            cursor.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} CONNECTION %s", [address])
            changed = True
        if not present["enabled"]:
            cursor.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} ENABLE")
            changed = True
        cursor.execute(
            "SELECT srrelid::regclass::text AS name FROM pg_subscription_rel WHERE srsubid = %s", [present["oid"]]
        )
        if {row["name"] for row in cursor.fetchall()} != set(sent_tables(first)):
            cursor.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} REFRESH PUBLICATION")
            changed = True
    return changed


def empty(first, second, present, kept):
    """Gives up what this region has of the first one, and what that keeps for it."""
    if present is not None:
        with second.session() as cursor:
            cursor.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} DISABLE")
            cursor.execute(f"ALTER SUBSCRIPTION {SUBSCRIPTION} SET (slot_name = NONE)")
            cursor.execute(f"DROP SUBSCRIPTION {SUBSCRIPTION}")
    if kept is not None:
        drop_slot(first, kept["name"])
    second.rows(f"TRUNCATE {', '.join(sent_tables(second))}")


def drop_slot(first, slot):
    """And those of copies that were interrupted, which PostgreSQL names after the subscription's."""
    if slot not in slots(first):
        return
    wait_until(lambda: not slots(first)[slot]["active"], DROP_SECONDS, f"the end of replication by slot {slot}")
    first.rows("SELECT pg_drop_replication_slot(%s)", [slot])


def wait_until_complete(first, second, seconds):
    """Until every table is copied, and what was written before now is there."""
    slot, lsn = slot_name(second), mark(first)

    def is_complete():
        return not subscription(second)["copying"] and confirmed(first, slot, lsn)

    with contextlib.suppress(Failed):
        wait_until(is_complete, seconds, "")
        return
    state = subscription(second)
    what = f"{', '.join(state['copying'])} not copied" if state["copying"] else "not caught up"
    raise Failed(
        f"region_timeout_seconds = {seconds:g}: by then {what}, with {state['errors']} errors, which the log of this "
        "region's postgresql names. It goes on by itself: run this again, or look with status.yml"
    )


if __name__ == "__main__":
    main()

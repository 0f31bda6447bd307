#!/usr/bin/python
"""Makes a second region one that serves by itself, and says in numbers what of the first one it lacks.

In this order, and every step may be repeated after an interruption: the subscription is stopped; what it had come to is
noted on disk; numbering is set beyond everything that was sent; claims of the first region's workers are ended; what is
there is checked; the subscription is dropped. Only then does a playbook start catalog servers.

Invariant: no number that the first region gave out is given out again, so what a client was told of a row is never true
of another one. Run again after the promotion it changes nothing, and counts the loss where the first region's database
can be asked by then.
"""

from datetime import datetime

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Failed, one_line, wait_until
from ansible.module_utils.region_view import (
    applied_lsn,
    confirmed,
    mark,
    newest_commit,
    slots,
    subscription,
)
from ansible.module_utils.regions import SENT, SUBSCRIPTION, Region, sent_tables, sequences, slot_name

START_SECONDS = 30
WORKER_SECONDS = 30  # longer than wal_receiver_timeout: a first region that fell silent is given up by then
WRITE_SECONDS = 30

_ORPHANS = """
    SELECT conrelid::regclass::text AS "table", confrelid::regclass::text AS target,
           (SELECT attname FROM pg_attribute WHERE attrelid = conrelid AND attnum = conkey[1]) AS "column",
           (SELECT attname FROM pg_attribute WHERE attrelid = confrelid AND attnum = confkey[1]) AS target_column
    FROM pg_constraint WHERE contype = 'f' AND cardinality(conkey) = 1 AND conrelid::regclass::text = ANY(%s)
"""


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},  # of the second region
            "number_gap": {"type": "int", "required": True},  # numbers left out for rows that were lost
            "catch_up_seconds": {"type": "float", "required": True},
            "force": {"type": "bool", "default": False},  # also where the first region serves
            "accept_data_loss": {"type": "bool", "default": False},  # also where it can be asked, and is ahead
        }
    )
    second = Region(module.params["state_dir"])
    try:
        with second.cluster.lock():
            note = second.note.read()
            if not note:
                raise Failed(f"state_dir = {second.state_dir}: is no second region. Make it one: second-region.yml")
            wait_until(lambda: second.answers() is None, START_SECONDS, "an answer of this region's database")
            first = Region(note["first_region"])
            changed = note["state"] == "second"
            if changed:
                promote(first, second, module.params)
            summary = report(first, second.note.read())
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(changed=changed, summary=summary)


def promote(first, second, given):
    present = subscription(second)
    if present is not None:
        refuse_incomplete(present, given["accept_data_loss"])
        silence = first.answers()
        has_all = False
        if silence is None:
            refuse_two_writers(first, given["force"])
            has_all = catch_up(first, second, given)
        stop_following(second, silence is not None, given["force"])
        note_position(second, present, has_all)
        set_numbers_beyond(second, given["number_gap"])
        end_claims(second)
        check(second)
        drop_subscription(second)
        if silence is None:
            drop_slot(first, slot_name(second))
    elif "applied_lsn" not in second.note.read():
        raise Failed("this region followed nobody yet, so it has nothing to serve. Run second-region.yml")
    second.note.write(state="promoted")


def refuse_incomplete(present, accept_data_loss):
    if present["copying"] and not accept_data_loss:
        raise Failed(
            f"{', '.join(present['copying'])}: not copied to the end, so this region never was what the first one was "
            "at any moment. Wait for the copy (status.yml), restore a backup, or serve what is there: "
            "-e accept_data_loss=true"
        )


def refuse_two_writers(first, force):
    serving = first.running_servers()
    if serving and not force:
        raise Failed(
            f"the first region works: its database answers, and {', '.join(serving)} run. What they write from now on "
            "would be lost. Stop them (supervisorctl -c "
            f"{first.state_dir}/config/supervisord.conf stop {' '.join(serving)}), so that nothing is, or add "
            "-e force=true"
        )


def catch_up(first, second, given):
    """True once this region has all that the first one, which can be asked, has; a loss is somebody's decision."""
    second.rows(f"ALTER SUBSCRIPTION {SUBSCRIPTION} ENABLE")  # where a run before this one was interrupted
    slot, lsn = slot_name(second), mark(first)
    try:
        wait_until(lambda: confirmed(first, slot, lsn), given["catch_up_seconds"], "all of the first region's log here")
    except Failed:
        if not (given["accept_data_loss"] or given["force"]):
            kept = slots(first).get(slot)
            behind = f"{kept['bytes']} bytes" if kept else "nobody knows how far"
            raise Failed(
                f"region_catch_up_seconds = {given['catch_up_seconds']:g}: by then this region did not have all that "
                f"the first one's database, which answers, has (it is {behind} behind). "
                "Find out why with status.yml, or give it up with -e accept_data_loss=true"
            ) from None
        return False
    return True


def stop_following(second, silent, force):
    """Everything that was received is applied before the end.

    A worker that lost its connection has applied what came through it; its successor has received nothing yet.
    """
    if silent:
        wait_until_cut_off(second, force)
    second.rows(f"ALTER SUBSCRIPTION {SUBSCRIPTION} DISABLE")
    wait_until(lambda: subscription(second)["pid"] is None, WORKER_SECONDS, "the end of the apply worker")


def wait_until_cut_off(second, force):
    """Also a last proof that the first region is gone: a frozen one is given up after wal_receiver_timeout."""

    def is_cut_off():
        now = subscription(second)
        return now["pid"] is None or now["received"] is None

    try:
        wait_until(is_cut_off, WORKER_SECONDS, "the end of the connection to the first region")
    except Failed:
        if not force:
            raise Failed(
                "the first region's database does not answer here, but it sends to this region: it is alive. Find out "
                "why it does not answer, or add -e force=true"
            ) from None


def note_position(second, present, has_all):
    """What dropping the subscription forgets."""
    newest = newest_commit(second, present["origin"])
    second.note.write(
        applied_lsn=applied_lsn(second, present["origin"]),
        newest_commit=newest.isoformat() if newest else None,
        has_all=has_all,  # that was committed in the first region until then
        rows={table: second.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in sent_tables(second)},
    )


def set_numbers_beyond(second, gap):
    """Sequences are not replicated. Beyond the greatest number that arrived by the gap, for those that did not."""
    for sequence, columns in sequences(second):
        greatest = ", ".join(f"(SELECT max({column}) FROM {table})" for table, column in columns)
        second.rows(
            f"SELECT setval(%s, greatest((SELECT last_value FROM {sequence}), COALESCE(greatest({greatest}), 0) + %s))",
            [sequence, gap],
        )


def end_claims(second):
    """Their workers are the first region's. The servers' own rescue takes the jobs back, and writes their ledger."""
    second.rows("UPDATE jobs SET claim_expires_at = clock_timestamp() WHERE state = 'running'")


def check(second):
    """Raises `Failed` unless references hold, numbers are beyond what there is, and a write is taken."""
    for row in second.rows(_ORPHANS, [list(SENT)]):
        sql = (
            f'SELECT count(*) AS n FROM {row["table"]} AS a WHERE a."{row["column"]}" IS NOT NULL AND NOT EXISTS '
            f'(SELECT FROM {row["target"]} AS b WHERE b."{row["target_column"]}" = a."{row["column"]}")'
        )
        orphans = second.rows(sql)[0]["n"]
        if orphans:
            raise Failed(f"{orphans} rows of {row['table']} refer to rows of {row['target']} that are not there")
    for sequence, columns in sequences(second):
        last = second.rows(f"SELECT last_value FROM {sequence}")[0]["last_value"]
        for table, column in columns:
            if second.rows(f"SELECT 1 FROM {table} WHERE {column} > %s LIMIT 1", [last]):
                raise Failed(f"{table}.{column} has values beyond {sequence}")
    second.cluster.the_primary().write(WRITE_SECONDS)


def drop_subscription(second):
    """Without a word to the first region, which may not be there to hear it."""
    second.rows(f"ALTER SUBSCRIPTION {SUBSCRIPTION} SET (slot_name = NONE)")
    second.rows(f"DROP SUBSCRIPTION {SUBSCRIPTION}")


def drop_slot(first, slot):
    """So that the first region, which answers, keeps its log for nobody."""
    if slot in slots(first):
        wait_until(lambda: not slots(first)[slot]["active"], WORKER_SECONDS, f"the end of replication by slot {slot}")
        first.rows("SELECT pg_drop_replication_slot(%s)", [slot])


def report(first, note):
    """What this region has of the first one, and what it lacks: for a person who has to answer for it."""
    newest = note["newest_commit"]
    lines = [
        f"{sum(note['rows'].values())} rows in {len(note['rows'])} tables were there, and checked, when this region "
        f"was promoted. It has what the first one ({first.state_dir}) committed up to position "
        f"{note['applied_lsn'] or 'of the copy'} of its log"
        + (f"; the newest of it was committed there at {newest}." if newest else "; nothing was sent since the copy."),
    ]
    silence = first.answers()
    if silence is not None:
        return "\n".join(
            [
                *lines,
                "What it committed after that is lost. How much that is, the first region alone knows, and it does not "
                f"answer ({silence}). Once its database does, run promote-region.yml again: it counts.",
            ]
        )
    lost = count_lost(first, newest) if newest else {}
    if lost:
        counted = ", ".join(f"{number} in {table}" for table, number in lost.items())
        lines.append(f"Lost are {sum(lost.values())} rows that were written in the first region after that: {counted}.")
    elif newest or note["has_all"]:
        lines.append("Nothing is lost: no row there was written after that.")
    else:
        lines.append("What is lost can not be counted: no commit was sent since the copy, to count from.")
    serving = first.running_servers()
    if serving:
        lines.append(
            f"The first region serves as well ({', '.join(serving)}): what it writes is in no other place. Stop it: "
            f"down.yml -e state_dir={first.state_dir}"
        )
    return "\n".join(lines)


def count_lost(first, newest):
    """Rows that were inserted or changed after the newest commit that was sent, by table. Deletions leave none."""
    after = datetime.fromisoformat(newest)
    counts = {}
    for table in sent_tables(first):
        # Rows of transactions so old that their time is forgotten have none, and are not counted.
        sql = f"SELECT count(*) AS n FROM {table} WHERE pg_xact_commit_timestamp(xmin) > %s"
        counts[table] = first.rows(sql, [after])[0]["n"]
    return {table: number for table, number in counts.items() if number}


if __name__ == "__main__":
    main()

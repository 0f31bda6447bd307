#!/usr/bin/python
"""Makes the database of a backup and the archived WAL again: beside the one that is there, or in its place.

In its place: the new data are made, recovered, promoted and looked at beside first; until they are ready nothing of the
old is touched, and whatever fails, the old is started again. Then the old data folder is kept aside, and the new one is
given its name. The roles of deploy.yml do the rest, as they would after any change; to Patroni it is a database that it
does not know yet.

Invariant: a write that was acknowledged before the members were stopped is in the archive, or the summary says that it
could not be made sure of.
"""

import datetime
import shutil

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_backups import (
    ID_FORMAT,
    RECEIVER,
    Backups,
    choose,
    end_and_archived,
    moment,
    now,
    wait_for_archive,
)
from ansible.module_utils.postgresql_checksums import checksums, differences
from ansible.module_utils.postgresql_cluster import WRITE, Cluster, Failed, one_line
from ansible.module_utils.postgresql_recovery import Recovery
from ansible.module_utils.postgresql_stop import stop_members
from tabulate import tabulate

ARCHIVE_SECONDS = 60
BESIDE = "restored"


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "state": {"choices": ["in_place", "beside", "verified", "gone"], "required": True},
            "target_time": {"type": "str", "default": ""},  # with its offset from UTC; empty: the newest there is
            "port": {"type": "int"},  # of a server that stays beside; a free one without it
        }
    )
    state, text = module.params["state"], module.params["target_time"]
    try:
        cluster, backups = Cluster(module.params["state_dir"]), Backups(module.params["state_dir"])
        target_time = read_target(text) if text else None
        with backups.lock(), cluster.lock():
            if state == "in_place":
                result = in_place(cluster, backups, target_time)
            elif state == "beside":
                result = beside(cluster, backups, target_time, module.params["port"])
            elif state == "verified":
                result = verified(cluster, backups)
            else:
                result = gone(cluster, backups)
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(**result)


def read_target(text):
    found = moment(text).astimezone(datetime.UTC)
    if found > datetime.datetime.now(datetime.UTC):
        raise Failed(f"target_time = {text}: is in the future. Leave target_time out for the newest there is")
    return found


def in_place(cluster, backups, target_time):
    records = backups.records()
    backup = choose(records, target_time)
    recovery = Recovery(cluster, backups, "restoring")
    recovery.verify(records, backup)  # before anything is stopped
    stopped = []
    try:
        stop(cluster, cluster.servers(), stopped)  # first, so that nobody writes what the restore would not have
        doubt = complete_archive(cluster)
        stop_members(cluster, lambda names: stop(cluster, names, stopped))
        stop(cluster, [RECEIVER], stopped)  # last: it has received what the primary sent until its end
        recovery.build(records, backup, target(target_time))
        recovery.start()
        tables = checksums(recovery.login(backups.database))
        recovery.stop()
    except (Failed, psycopg2.Error, OSError) as error:
        recovery.remove()
        for name in reversed(stopped):
            cluster.programs.start(name)
        raise Failed(f"nothing was restored, and all that was stopped is started again: {one_line(error)}") from error
    kept = exchange(cluster, recovery)
    lines = [f"Restored from backup {backup['id']} and WAL until {target_time or 'its end'}. {doubt}".strip()]
    lines += [f"The data that were replaced are kept in {path}: delete them when you are sure." for path in kept]
    return {"changed": True, "tables": tables, "summary": "\n".join([*lines, render(tables)])}


def stop(cluster, names, stopped):
    for name in names:
        if cluster.programs.end(name):
            stopped.append(name)


def complete_archive(cluster):
    """A sentence where it could not be made sure that the archive has all that was acknowledged."""
    try:
        mark_end(cluster.the_primary())
    except (Failed, psycopg2.Error) as error:
        return f"What was written last may be missing, because the archive could not be completed: {one_line(error)}."
    return ""


def mark_end(primary):
    """Commits something, so that a target just before now has a record after it; then waits for the archive."""
    primary.run(f"SET synchronous_commit = local; {WRITE}")
    if end_and_archived(primary)[1] is None:
        raise Failed("it does not receive")
    wait_for_archive(primary, ARCHIVE_SECONDS)


def target(target_time):
    # A target of a time ends before the first commit that is later.
    return f"recovery_target_time = '{target_time.isoformat(' ')}'" if target_time else ""


def exchange(cluster, recovery):
    """The folders in which the replaced data are kept.

    Nothing of it runs now. Interrupted, it is finished by another restore: all it needs is in the backups.
    """
    if cluster.is_automatic:  # who led, who was synchronous and how far they were is of the history that is left
        cluster.programs.end("etcd")
        shutil.rmtree(cluster.state_dir / "etcd", ignore_errors=True)
    first, kept = cluster.members[0], []
    for member in cluster.primaries():
        aside = member.data.with_name(f"{member.data.name}.replaced-{now().strftime(ID_FORMAT)}")
        member.data.rename(aside)
        kept.append(aside)
    shutil.rmtree(first.data, ignore_errors=True)  # where it was a replica: whatever it holds, the primary had
    recovery.data.rename(first.data)
    for member in cluster.members[1:]:
        shutil.rmtree(member.data, ignore_errors=True)
    recovery.remove()
    return kept


def beside(cluster, backups, target_time, port):
    records = backups.records()
    recovery = Recovery(cluster, backups, BESIDE, port)
    if recovery.folder.exists():
        raise Failed("there is a restored database already. Remove it first: restore.yml -e remove=true")
    backup = choose(records, target_time)
    recovery.verify(records, backup)
    doubt = complete_archive(cluster)
    try:
        recovery.build(records, backup, target(target_time))
        recovery.start()
        tables = checksums(recovery.login(backups.database))
        recovery.stop()  # supervisord runs it from now on
    except BaseException:
        recovery.remove()
        raise
    said = f"Restored beside, from backup {backup['id']} and WAL until {target_time or 'its end'}. {doubt}".strip()
    address = f"It runs as {BESIDE}, on 127.0.0.1:{recovery.port}, with the roles and passwords of that time."
    return {
        "changed": True,
        "port": recovery.port,
        "tables": tables,
        "summary": f"{said}\n{address} Remove it: restore.yml -e remove=true\n{render(tables)}",
    }


def gone(cluster, backups):
    recovery = Recovery(cluster, backups, BESIDE)
    found = recovery.folder.exists()
    recovery.remove()
    return {"changed": found, "summary": "The restored database was removed." if found else "There was none to remove."}


def verified(cluster, backups):
    """Restores the newest backup until the LSN at which its tables were noted, and compares."""
    records = backups.records()
    backup = choose(records, None)
    recovery = Recovery(cluster, backups, "verifying")
    exact = backup["tables"] is not None
    begun_at = now()
    recovery.verify(records, backup)
    try:
        lsn = backup["tables_lsn"] if exact else backup["stop_lsn"]
        recovery.build(records, backup, f"recovery_target_lsn = '{lsn}'\nrecovery_target_inclusive = off")
        recovery.start()
        tables = checksums(recovery.login(backups.database))
    finally:
        recovery.remove()
    if exact and (found := differences(backup["tables"], tables)):
        raise Failed("\n".join([f"backup {backup['id']} does not restore what it was taken of:", *found]))
    rows = sum(table[0] for table in tables.values())
    what = "the same as when it was taken" if exact else "of which nothing was noted when it was taken"
    seconds = (now() - begun_at).total_seconds()
    summary = f"Backup {backup['id']} was restored in {seconds:.0f} s: {len(tables)} tables with {rows} rows, {what}."
    return {"changed": False, "backup": backup["id"], "exact": exact, "tables": tables, "summary": summary}


def render(tables):
    return tabulate([[name, *table] for name, table in tables.items()], headers=["table", "rows", "checksum"])


if __name__ == "__main__":
    main()

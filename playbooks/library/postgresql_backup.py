#!/usr/bin/python
"""Takes a backup, verifies it, notes what is in it, and lets go of what retention gives up.

From a replica that follows, where there is one, so that the primary has only the WAL to send. An incremental backup
holds the blocks that changed since the one before; where it can not be taken, a full one is, and the record says why.
"""

import json
import shutil
import time

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.durable_files import sync_folder, write_durably
from ansible.module_utils.postgresql_backups import (
    ID_FORMAT,
    Backups,
    choose_source,
    delete,
    end_and_archived,
    now,
    outdated,
    parent_of_next,
    read_manifest,
    tree_bytes,
    unneeded_wal,
    wait_for_archive,
)
from ansible.module_utils.postgresql_checksums import checksums_at_lsn
from ansible.module_utils.postgresql_cluster import HOST, WRITE, Cluster, Failed, one_line, wait_until
from ansible.module_utils.postgresql_programs import hand_over

ARCHIVE_SECONDS = 30
REPLAY_SECONDS = 30
QUIET_SECONDS = 10


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "full": {"type": "bool", "default": False},  # also where an incremental one would do
            "reason": {"type": "str", "default": "by hand"},  # noted in the record
        }
    )
    try:
        cluster, backups = Cluster(module.params["state_dir"]), Backups(module.params["state_dir"])
        with backups.lock():
            clear_interrupted(backups)
            record = take(cluster, backups, module.params["full"], module.params["reason"])
            removed = retain(backups)
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(changed=True, backup=record, removed=removed, summary=describe(record, removed))


def take(cluster, backups, full, reason):
    """The record of a new backup, which is complete, verified and reachable by the archive of WAL."""
    primary = cluster.the_primary()
    source = choose_source(cluster, primary)
    parent = None if full else parent_of_next(backups.records(), backups.full_every)
    started = now()
    begun_at = time.monotonic()
    folder = backups.bases / f"{started.strftime(ID_FORMAT)}.new"
    record = {"id": started.strftime(ID_FORMAT), "started_at": str(started), "reason": reason, "member": source.name}
    for member in dict.fromkeys([primary, source]):
        catch_up(primary, member)  # or a standby would begin the backup before the end of its parent
        member.run("CHECKPOINT")
    instead_of_incremental = None
    try:
        copy(backups, source, folder, parent)
    except Failed as failed:
        if parent is None:
            raise
        instead_of_incremental, parent = str(failed), None
        copy(backups, source, folder, parent)
    start_lsn, stop_lsn, timeline = read_manifest(folder / "data")
    record |= {
        "kind": "incremental" if parent else "full",
        "parent": parent["id"] if parent else None,
        "instead_of_incremental": instead_of_incremental,
        "start_lsn": start_lsn,
        "stop_lsn": stop_lsn,
        "timeline": timeline,
    }
    backups.verify(folder / "data")
    record |= note_tables(backups, primary)
    wait_for_archive(primary, ARCHIVE_SECONDS)
    record |= {
        "bytes": tree_bytes(folder / "data"),
        "seconds": round(time.monotonic() - begun_at, 1),
        "ended_at": str(now()),
    }
    # The record before the name: a folder of this name has a record.
    write_durably(folder / "backup.json", f"{json.dumps(record, indent=2)}\n")
    folder.rename(backups.bases / record["id"])
    sync_folder(backups.bases)
    return record


def catch_up(primary, member):
    if member is primary:
        return
    end, _ = end_and_archived(primary)
    replayed = "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint AS lsn"
    wait_until(lambda: member.run(replayed)[0]["lsn"] >= end, REPLAY_SECONDS, f"{member.name} has replayed its WAL")


def copy(backups, source, folder, parent):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    hand_over(folder, backups.folder)
    backups.run(
        "pg_basebackup",
        f"--pgdata={folder / 'data'}",
        f"--dbname=host=127.0.0.1 port={source.port} user=backup passfile={backups.password_file}",
        f"--label={folder.stem}",
        "--checkpoint=fast",
        "--wal-method=stream",
        "--manifest-checksums=SHA256",
        *([f"--incremental={backups.data(parent) / 'backup_manifest'}"] if parent else []),
    )


def note_tables(backups, primary):
    """What a restore until that LSN must find; nothing where the database never was quiet for a moment."""
    found = checksums_at_lsn(primary.login(HOST, primary.port) | {"dbname": backups.database}, QUIET_SECONDS)
    # Whoever restores until there needs a record after it, and all of it in the archive.
    primary.run(f"SET synchronous_commit = local; {WRITE}")
    primary.run("SELECT pg_switch_wal()")
    tables, lsn = found or (None, None)
    return {"tables": tables, "tables_lsn": lsn}


def clear_interrupted(backups):
    for left in backups.bases.glob("*.new"):
        shutil.rmtree(left)


def retain(backups):
    """The names of the backups that were deleted; the WAL before the oldest that is left goes too."""
    gone = outdated(backups.records(), backups.keep_full)
    for record in reversed(gone):  # never a parent before its child
        delete(backups, record)
    for folder in (backups.wal, backups.aside):
        for name in unneeded_wal([path.name for path in folder.iterdir()], backups.records()):
            (folder / name).unlink()
    return [record["id"] for record in gone]


def describe(record, removed):
    words = f"Backup {record['id']}: {record['kind']}, {record['bytes'] / 1e6:.1f} MB in {record['seconds']} s, "
    lines = [f"{words}from {record['member']}, verified."]
    if record["instead_of_incremental"]:
        lines.append(f"It is full because an incremental one was not possible: {record['instead_of_incremental']}")
    if record["tables"] is None:
        lines.append(f"The database was busy for {QUIET_SECONDS} s, so no checksums of its tables were noted.")
    if removed:
        lines.append(f"Retention removed {', '.join(removed)}.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

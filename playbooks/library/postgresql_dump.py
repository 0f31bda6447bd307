#!/usr/bin/python
"""Dumps the application's database with pg_dump, for other versions of PostgreSQL and for single tables.

From a replica that follows, where there is one, and with the application's own rights.
"""

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.durable_files import sync_folder
from ansible.module_utils.postgresql_backups import ID_FORMAT, Backups, choose_source, now
from ansible.module_utils.postgresql_cluster import HOST, Cluster, Failed, one_line


def main():
    module = AnsibleModule(argument_spec={"state_dir": {"type": "path", "required": True}})
    try:
        cluster, backups = Cluster(module.params["state_dir"]), Backups(module.params["state_dir"])
        with backups.lock():
            path, source = dump(cluster, backups)
            removed = retain(backups)
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    summary = f"Dump {path}: {path.stat().st_size / 1e6:.1f} MB, from {source.name}."
    if removed:
        summary += f" Retention removed {', '.join(removed)}."
    module.exit_json(changed=True, path=str(path), removed=removed, summary=summary)


def dump(cluster, backups):
    """(the file, the member). Under another name first: a file of this name is whole."""
    source = choose_source(cluster, cluster.the_primary())
    path = backups.dumps / f"{backups.database}-{now().strftime(ID_FORMAT)}.dump"
    new = path.with_suffix(".new")
    password = (cluster.state_dir / "secrets" / "postgresql_application_password").read_text().strip()
    address = f"host={HOST} port={source.port} user={backups.database_role} dbname={backups.database}"
    backups.run("pg_dump", "--format=custom", f"--file={new}", f"--dbname={address}", PGPASSWORD=password)
    backups.run("pg_restore", "--file=/dev/null", new)  # reads all of it
    new.rename(path)
    sync_folder(backups.dumps)
    return path, source


def retain(backups):
    for left in backups.dumps.glob("*.new"):
        left.unlink()
    gone = sorted(backups.dumps.glob("*.dump"))[: -backups.keep_dumps]
    for path in gone:
        path.unlink()
    return [path.name for path in gone]


if __name__ == "__main__":
    main()

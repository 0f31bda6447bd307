#!/usr/bin/python
"""Makes the data of a replica: from the primary, with a replication slot there that keeps the WAL it will need.

Anew means whatever the replica holds is given up for what the primary has. Where it went another way than the primary
(it was one, and wrote what nobody confirmed), pg_rewind takes back just that; else pg_basebackup copies all.

With automatic failover Patroni makes a replica's data whenever they are missing, rewinds a former primary without being
asked, and copies all when it is asked to make one anew.
"""

import shutil
from contextlib import nullcontext
from pathlib import Path

import psycopg2
from ansible.module_utils import postgresql_programs as programs
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Cluster, Failed, Member, one_line, wait_until

STOP_SECONDS = 15
COPY_SECONDS = 300
NOTHING_TO_REWIND = "no rewind required"


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "state": {"choices": ["present", "anew", "gone"], "default": "present"},
            "copy": {"type": "bool", "default": False},  # anew, and not by pg_rewind
        }
    )
    cluster, state = Cluster(module.params["state_dir"]), module.params["state"]
    try:
        with cluster.lock() if state == "anew" else nullcontext():
            if state == "gone":
                result = {"changed": forget(cluster, Member(cluster.state_dir, module.params["name"]))}
            elif state == "anew":
                member = cluster.member(module.params["name"])
                result = make_anew(cluster, member, module.params["copy"])
            else:
                result = {"changed": make_present(cluster, cluster.member(module.params["name"]))}
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(**result)


def make_present(cluster, member):
    changed = cluster.arrange_slots(cluster.the_primary())
    if member.has_data:
        return changed
    copy_data(member)
    return True


def forget(cluster, member):
    """The primary keeps no WAL any more for a member that was removed."""
    if cluster.is_automatic:
        return False  # Patroni sees to the slots
    primary = cluster.the_primary()
    wait_until(lambda: not is_in_use(primary, member), STOP_SECONDS, f"the end of {member.name}'s replication")
    return cluster.arrange_slots(primary)


def make_anew(cluster, member, copy):
    cluster.refuse_unless_replicated()
    primary = cluster.the_primary()
    if primary is member:
        raise Failed(f"member = {member.name}: it is the primary. Hand over to another first: switchover.yml")
    if cluster.is_automatic:
        copy_by_patroni(cluster, member)
        return {"changed": True, "summary": f"{member.name} was copied by Patroni, from {primary.name}."}
    primary.run("CHECKPOINT")  # pg_rewind reads the present timeline from it
    cluster.programs.stop(member.name, wait=True)
    cluster.arrange_slots(primary)
    how = "as asked for" if copy else rewind(member)
    if how is not None:
        wait_until(lambda: not is_in_use(primary, member), STOP_SECONDS, f"the end of {member.name}'s replication")
        copy_data(member)
    done = f"copied by pg_basebackup ({how})" if how else "rewound by pg_rewind"
    return {"changed": True, "summary": f"{member.name} was {done}, from {primary.name}."}


def copy_by_patroni(cluster, member):
    """Returns when there are other data than before; the replica is not at work yet."""
    cluster.programs.start(member.name)
    wait_until(member.patroni.status, STOP_SECONDS, f"an answer of {member.name}'s Patroni")
    before = mark_of(member)
    if before is not None:  # else it copies already
        wanted = {"force": True, "from_leader": True}
        if refusal := member.patroni.order("POST", "/reinitialize", wanted, seconds=STOP_SECONDS):
            raise Failed(f"{member.name} was not made anew: {refusal}")
    wait_until(lambda: mark_of(member) not in (None, before), COPY_SECONDS, f"a copy of the primary in {member.data}")


def mark_of(member):
    """Another one for each copy; None where there is none, or it is not complete."""
    try:
        control = (member.data / "global" / "pg_control").stat()  # comes last
        return control.st_ino, (member.data / "PG_VERSION").stat().st_ctime_ns
    except FileNotFoundError:
        return None


def is_in_use(primary, member):
    return primary.run(f"SELECT 1 FROM pg_replication_slots WHERE slot_name = '{member.slot}' AND active")


def rewind(member):
    """None where it was done; else why not, and the member has no data any more.

    Under another name, because pg_rewind wants data that are no standby's: interrupted, they must start as nothing.
    """
    moved = beside(member, "rewinding")
    data = member.fenced if member.is_fenced else member.data
    if not (data / "PG_VERSION").exists():
        return "there was nothing to rewind"
    data.rename(moved)
    member.unmark_standby(moved)
    result = run(member, "pg_rewind", f"--target-pgdata={moved}", f"--source-server={member.conninfo} dbname=postgres")
    said = [line for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    if result.returncode:
        return said[-1] if said else f"pg_rewind ended with {result.returncode}"
    if any(NOTHING_TO_REWIND in line for line in said):
        return "it went no other way than the primary, so there is nothing to rewind"
    member.mark_standby(moved)
    moved.rename(member.data)
    beside(member, "fenced")
    return None


def copy_data(member):
    """Under another name first, so that an interrupted copy never looks like a member."""
    new = beside(member, "new")
    shutil.rmtree(member.data, ignore_errors=True)
    result = run(
        member,
        "pg_basebackup",
        f"--pgdata={new}",
        f"--dbname={member.conninfo}",
        f"--slot={member.slot}",
        "--wal-method=stream",
        "--checkpoint=fast",
    )
    if result.returncode:
        raise Failed(f"{member.name}: pg_basebackup failed: {one_line(result.stderr)}")
    member.mark_standby(new)
    new.rename(member.data)
    for left in ("rewinding", "fenced"):
        beside(member, left)


def beside(member, suffix):
    """A folder next to the data; what is left there is deleted."""
    folder = member.data.with_name(f"{member.data.name}.{suffix}")
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def run(member, program, *arguments):
    return programs.run(member.folder, [Path(member.bin) / program, *arguments])


if __name__ == "__main__":
    main()

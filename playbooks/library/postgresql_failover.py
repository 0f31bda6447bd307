#!/usr/bin/python
"""Makes a replica the primary where the primary is lost.

In this order, and never another: the primary is fenced (ended, and kept from starting as one); the replica that
received most is found; it is promoted; a write proves it. Every step may be repeated, so that a run that was
interrupted, or whose new primary is lost too, is followed by another run.

Invariant: nobody is promoted while another data folder could start, or has a process, as a primary.
"""

import signal
import socket
from contextlib import suppress

import psutil
import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import HOST, Cluster, Failed, names, one_line, wait_until
from ansible.module_utils.postgresql_view import find_problems, look

ORDERLY_SECONDS = 5  # a frozen server takes none of its chance to end by itself
KILL_SECONDS = 10
REPLAY_SECONDS = 60
PROMOTE_SECONDS = 60
WRITE_SECONDS = 30


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "force": {"type": "bool", "default": False},  # also where the primary works
            "accept_data_loss": {"type": "bool", "default": False},  # also where a replica cannot be asked
        }
    )
    cluster = Cluster(module.params["state_dir"])
    try:
        with cluster.lock():
            cluster.refuse_unless_replicated()
            summary, new = fail_over(cluster, module.params["force"], module.params["accept_data_loss"])
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error, psutil.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(changed=True, primary=new.name, summary=summary)


def fail_over(cluster, force, accept_data_loss):
    """Returns what was done, in words, and the new primary."""
    lost = the_lost(cluster)
    if lost is not None and not lost.is_standby and not force and takes_writes(lost):
        raise Failed(
            f"{lost.name} is the primary and takes writes: nothing has failed. For a planned change run switchover.yml; "
            "to end it all the same, add -e force=true"
        )
    refuse_to_lose(cluster, lost, accept_data_loss)
    if lost is not None:
        record_of_lost(cluster).write_text(lost.name)
        fence(cluster, lost)
    new = most_advanced(cluster)
    if not new.run(f"SELECT pg_promote(true, {PROMOTE_SECONDS}) AS done")[0]["done"]:
        raise Failed(f"{new.name} was not promoted within {PROMOTE_SECONDS} s; see make logs, and run this again")
    record_of_lost(cluster).unlink(missing_ok=True)
    cluster.arrange_slots(new)
    new.run("CHECKPOINT")  # so that pg_rewind finds the new timeline in its control file
    new.write(WRITE_SECONDS)
    views = look(cluster)
    after = [f"- {problem}" for problem in find_problems(views)]
    place = f", in place of {lost.name}, which is fenced" if lost else ""
    return "\n".join([f"{new.name} is the primary now{place}. It took a write.", *after]), new


def record_of_lost(cluster):
    """The file that names whom a run fenced, until somebody else was promoted."""
    return cluster.state_dir / "run" / "postgresql-lost-primary"


def the_lost(cluster):
    """The primary that is to be replaced; None where there is none, as after a switchover that was interrupted."""
    record = record_of_lost(cluster)
    if not cluster.primaries() and record.exists():
        return cluster.member(record.read_text())
    return cluster.the_primary() if cluster.primaries() else None


def takes_writes(member):
    """Whether it does by itself; replicas that are away do not make it a lost one."""
    try:
        with member.session() as cursor:
            cursor.execute("SET synchronous_commit = local; SELECT pg_logical_emit_message(true, 'playbooks', '')")
            return True
    except psycopg2.Error:
        return False


def refuse_to_lose(cluster, lost, accept_data_loss):
    """What was acknowledged is on `synchronous_replicas` of the replicas, so as many must not be missing."""
    missing = [view.member for view in look(cluster) if view.problem and view.member is not lost]
    synchronous = max(member.synchronous_replicas for member in cluster.members)
    if synchronous and len(missing) >= synchronous and not accept_data_loss:
        raise Failed(
            f"{names(missing)} cannot be asked, and may alone hold what the primary acknowledged last. Bring it back "
            "(supervisorctl start NAME), or add -e accept_data_loss=true"
        )


def fence(cluster, member):
    """Raises `Failed`, or what the system said, where it cannot be made sure that the member is no primary any more."""
    if member.data.exists():
        member.mark_standby()  # before it ends: supervisord may start it at any moment
    processes = processes_of(cluster, member)
    cluster.programs.stop(member.name, wait=False)
    _, alive = psutil.wait_procs(processes, timeout=ORDERLY_SECONDS)
    for process in {*alive, *processes_of(cluster, member)}:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_of(cluster, member), KILL_SECONDS, f"the end of {member.name}'s processes")
    with socket.socket() as client:
        if member.port and client.connect_ex((HOST, member.port)) == 0:
            raise Failed(f"{member.name} was ended, and yet port {member.port} is answered. Find out by whom, and stop it")


def processes_of(cluster, member):
    """PostgreSQL's processes work in the data folder, also those whose parent is gone."""
    found = []
    for process in psutil.process_iter(["name", "cwd", "pid"]):
        if process.info["name"] == "postgres" and process.info["cwd"] == str(member.data):
            found.append(process)
    pid = cluster.programs.pid(member.name)
    if pid and pid not in [process.pid for process in found]:
        with suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found


def most_advanced(cluster):
    """Whoever received most, once all that can be asked have replayed what they received."""

    def standbys():
        return [view for view in look(cluster) if view.standby]

    if not standbys():
        raise Failed("no replica answers, so there is nobody to promote. Start one: supervisorctl start NAME")
    wait_until(lambda: all(view.at_end for view in standbys()), REPLAY_SECONDS, "all replicas have replayed their WAL")
    return max(standbys(), key=lambda view: view.progress).member


if __name__ == "__main__":
    main()

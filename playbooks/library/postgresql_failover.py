#!/usr/bin/python
"""Makes a replica the primary where the primary is lost.

In this order, and never another: the primary is fenced (ended, and kept from starting as one); the replica that
received most is found; it is promoted; a write proves it. Every step may be repeated, so that a run that was
interrupted, or whose new primary is lost too, is followed by another run.

Invariant: nobody is promoted while another data folder could start, or has a process, as a primary.

With automatic failover Patroni needs no order to do it, but for what it refuses, which is a loss. Then the same is
asked for here as above; to fence is Patroni's, by its lock.
"""

import shutil
import signal
import socket
import time
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
ELECTION_SECONDS = 40  # Patroni's ttl, and time to promote


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
            how = fail_over_by_patroni if cluster.is_automatic else fail_over
            summary, new = how(cluster, module.params["force"], module.params["accept_data_loss"])
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error, psutil.Error) as error:
        module.fail_json(msg=one_line(error))
    module.exit_json(changed=True, primary=new.name, summary=summary)


def fail_over(cluster, force, accept_data_loss):
    """Returns what was done, in words, and the new primary."""
    begun_at = time.monotonic()
    lost = the_lost(cluster)
    if lost is not None and not force and lost.has_data and takes_writes(lost):
        raise nothing_has_failed(lost)
    if not accept_data_loss:
        refuse_to_lose(look(cluster), lost)
    if lost is not None:
        fence(cluster, lost)
    views = replayed_views(cluster)
    if not accept_data_loss:
        refuse_to_lose(views, lost)  # again, of those who are really compared
    new = max((view for view in views if view.standby), key=lambda view: view.progress).member
    if not new.run(f"SELECT pg_promote(true, {PROMOTE_SECONDS}) AS done")[0]["done"]:
        raise Failed(f"{new.name} was not promoted within {PROMOTE_SECONDS} s; see make logs, and run this again")
    cluster.arrange_slots(new)
    new.run("CHECKPOINT")  # so that pg_rewind finds the new timeline in its control file
    new.write(WRITE_SECONDS)
    seconds = time.monotonic() - begun_at
    place = f", in place of {lost.name}" if lost else ""
    summary = f"{new.name} is the primary now{place}. It took a write {seconds:.1f} s after the failover began."
    return "\n".join([summary, *find_problems(look(cluster))]), new


def fail_over_by_patroni(cluster, force, accept_data_loss):
    """Waits for the election, unless forced to hasten it; else a member is chosen here. Returns as `fail_over`."""
    begun_at = time.monotonic()
    lost = next(iter(cluster.leaders()), None)
    if lost is not None and takes_writes(lost) and not force:
        raise nothing_has_failed(lost)
    new = None if force else elected(cluster)
    if new is None:
        views = look(cluster)
        if not accept_data_loss:
            refuse_to_lose(views, lost)
        standbys = [view for view in views if view.standby and view.member is not lost]
        if not standbys:
            raise Failed("no replica answers, so there is nobody to promote. Start one: supervisorctl start NAME")
        new = max(standbys, key=lambda view: ((view.patroni or {}).get("sync_standby", False), view.progress)).member
        if refusal := new.patroni.order("POST", "/failover", {"candidate": new.name}, seconds=PROMOTE_SECONDS):
            raise Failed(f"{new.name} was not promoted: {refusal}; see make logs, and run this again")
    wait_until(lambda: takes_writes(new), WRITE_SECONDS, f"{new.name} takes writes")
    new.write(WRITE_SECONDS)
    seconds = time.monotonic() - begun_at
    place = f", in place of {lost.name}" if lost not in (None, new) else ""
    summary = f"{new.name} is the primary now{place}. It took a write {seconds:.1f} s after the failover began."
    return "\n".join([summary, *find_problems(look(cluster))]), new


def elected(cluster):
    """The member that Patroni made the primary, or restarted as such; None where it did not within its time."""
    with suppress(Failed):
        return wait_until(
            lambda: next((member for member in cluster.leaders() if takes_writes(member)), None),
            ELECTION_SECONDS,
            "an election",
        )
    return None


def nothing_has_failed(primary):
    return Failed(
        f"{primary.name} is the primary and takes writes: nothing has failed. For a planned change run "
        "switchover.yml; to end it all the same, add -e force=true"
    )


def the_lost(cluster):
    """The primary, or where no data folder is one's, the only member that has none at all.

    None where a run before this one, or a switchover, came as far as ending the primary.
    """
    if cluster.primaries():
        return cluster.the_primary()
    without = [member for member in cluster.members if not member.has_data]
    return without[0] if len(without) == 1 and not without[0].is_fenced else None


def takes_writes(member):
    """Whether it does by itself; replicas that are away do not make it a lost one."""
    try:
        with member.session() as cursor:
            cursor.execute("SET synchronous_commit = local; SELECT pg_logical_emit_message(true, 'playbooks', '')")
            return True
    except psycopg2.Error:
        return False


def refuse_to_lose(views, lost):
    """What was acknowledged is on `synchronous_replicas` of the replicas, so as many must not be missing."""
    missing = [view.member for view in views if view.problem and not view.member.is_fenced and view.member is not lost]
    synchronous = max(view.member.synchronous_replicas for view in views)
    if synchronous and len(missing) >= synchronous:
        raise Failed(
            f"{names(missing)} cannot be asked, and may alone hold what the primary acknowledged last. Bring it back "
            "(supervisorctl start NAME), or add -e accept_data_loss=true"
        )


def fence(cluster, member):
    """Raises `Failed`, or what the system said, where it cannot be made sure that the member is no primary any more."""
    if member.data.exists():
        member.mark_standby()  # before it ends: supervisord may start it at any moment, and then as a standby
    processes = processes_of(cluster, member)
    cluster.programs.stop(member.name, wait=False)
    _, alive = psutil.wait_procs(processes, timeout=ORDERLY_SECONDS)
    for process in {*alive, *processes_of(cluster, member)}:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: not processes_of(cluster, member), KILL_SECONDS, f"the end of {member.name}'s processes")
    with socket.socket() as client:
        if member.port and client.connect_ex((HOST, member.port)) == 0:
            raise Failed(
                f"{member.name} was ended, and yet port {member.port} is answered. Find out by whom, and stop it"
            )
    if member.data.exists():
        shutil.rmtree(member.fenced, ignore_errors=True)
        member.data.rename(member.fenced)
    member.fenced.mkdir(exist_ok=True)  # where its disk is gone as well


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


def replayed_views(cluster):
    """All members, once every replica that can be asked has replayed what it received: then they can be compared."""

    def all_at_end():
        views = look(cluster)
        return views if all(view.at_end for view in views if view.standby) else None

    views = wait_until(all_at_end, REPLAY_SECONDS, "all replicas have replayed their WAL")
    if not any(view.standby for view in views):
        raise Failed("no replica answers, so there is nobody to promote. Start one: supervisorctl start NAME")
    return views


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Hands the primary's role to a replica, as planned and without losing a write, and measures how long clients waited.

The primary is stopped in its orderly way, in which it sends everything to its replicas before it ends. One of them is
promoted once it is seen to have all of it; otherwise the primary is started again and stays one. All of it happens in
one process, because writes wait meanwhile.

With automatic failover Patroni does the same by itself, and is asked to.
"""

import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import HOST, WRITE, Cluster, Failed, names, one_line, wait_until
from ansible.module_utils.postgresql_view import View, find_problems, look

BEHIND_BYTES = 16 * 1024 * 1024  # more than this is caught up with before, not while writes wait
STEADY_SECONDS = 5  # to the first write
CATCH_UP_SECONDS = 10
PROMOTE_SECONDS = 60
FOLLOW_SECONDS = 30
SYNCHRONOUS_SECONDS = 20
PAUSE_SECONDS = 0.01  # between two writes


def main():
    module = AnsibleModule(
        argument_spec={
            "state_dir": {"type": "path", "required": True},
            "member": {"type": "str", "default": ""},  # empty: the most advanced replica
        }
    )
    cluster = Cluster(module.params["state_dir"])
    try:
        with cluster.lock():
            cluster.refuse_unless_replicated()
            old = cluster.the_primary()
            new = choose(cluster, old, module.params["member"])
            if new is old:
                module.exit_json(changed=False, summary=f"{old.name} is the primary already.")
            seconds = (ask_patroni if cluster.is_automatic else hand_over)(cluster, old, new)
    except Failed as failed:
        module.fail_json(msg=str(failed))
    except (OSError, psycopg2.Error) as error:
        module.fail_json(msg=one_line(error))
    summary = (
        f"{new.name} is the primary now, in place of {old.name}. Clients that write waited {seconds:.1f} s at most."
    )
    module.exit_json(changed=True, primary=new.name, pause_seconds=round(seconds, 3), summary=summary)


def choose(cluster, old, wanted):
    """The member to be promoted. Raises `Failed` where nobody, or not this one, could take over without a loss."""
    views = {view.member.name: view for view in look(cluster)}
    if wanted and cluster.member(wanted) is old:
        return old
    primary = views[old.name]
    if not primary.writable:
        raise Failed(f"{old.name} is the primary and takes no writes ({primary.problem}). Run failover.yml")
    ready = [
        view
        for name, view in views.items()
        if name in primary.followers and view.standby and primary.lsn - view.lsn <= BEHIND_BYTES
    ]
    if wanted:
        ready = [view for view in ready if view.member.name == wanted]
    if not ready:
        who = f"member = {wanted}: it does" if wanted else "No replica is one that does"
        raise Failed(
            f"{who} follow {old.name} at less than {BEHIND_BYTES} bytes behind it: not so. "
            + " ".join(find_problems(views.values()))
        )
    return max(ready, key=lambda view: (is_synchronous(primary, view.member), view.progress)).member


def is_synchronous(primary, member):
    follower = primary.followers.get(member.name)
    return follower is not None and follower["sync_state"] in ("sync", "quorum")


def hand_over(cluster, old, new):
    """Returns the longest time, in seconds, between two acknowledged writes of a client that never stops writing."""
    for member in (old, new):
        member.run("CHECKPOINT")  # so that neither has much to write when it stops, or is promoted
    with SteadyWriter(cluster) as writer:
        wait_until(lambda: writer.acknowledged_at, STEADY_SECONDS, f"a first write to {old.name}")
        old.mark_standby()  # first, so that nothing starts it as a primary from now on
        try:
            cluster.programs.stop(old.name, wait=True)
            end = shutdown_lsn(old)
            wait_until(lambda: replayed(new) >= end, CATCH_UP_SECONDS, f"{new.name} has all of {old.name}'s WAL")
        except (Failed, psycopg2.Error) as error:
            old.unmark_standby()
            cluster.programs.start(old.name)
            raise Failed(f"{one_line(error)}. {old.name} was started again and stays the primary") from error
        if not new.run(f"SELECT pg_promote(true, {PROMOTE_SECONDS}) AS done")[0]["done"]:
            raise Failed(
                f"{new.name} was not promoted within {PROMOTE_SECONDS} s; see make logs. Then run failover.yml"
            )
        cluster.arrange_slots(new)
        cluster.programs.start(old.name)
        promoted_at = time.monotonic()
        wait_until(lambda: writer.acknowledged_at > promoted_at, FOLLOW_SECONDS, f"a first write to {new.name}")
        seconds = writer.longest_seconds
    wait_until(lambda: not find_problems(look(cluster)), FOLLOW_SECONDS, f"all of {names(cluster.members)} at work")
    cluster.arrange_slots(new)  # those that the old primary kept for others
    return seconds


def ask_patroni(cluster, old, new):
    """As `hand_over`; the former primary is made a replica by its own Patroni."""
    for member in (old, new):
        member.run("CHECKPOINT")
    with made_synchronous(cluster, old, new), SteadyWriter(cluster) as writer:
        wait_until(lambda: writer.acknowledged_at, STEADY_SECONDS, f"a first write to {old.name}")
        wanted = {"leader": old.name, "candidate": new.name}
        if refusal := old.patroni.order("POST", "/switchover", wanted, seconds=PROMOTE_SECONDS):
            raise Failed(f"{new.name} did not take over from {old.name}: {refusal}")
        promoted_at = time.monotonic()
        wait_until(lambda: writer.acknowledged_at > promoted_at, FOLLOW_SECONDS, f"a first write to {new.name}")
        seconds = writer.longest_seconds
    wait_until(lambda: not find_problems(look(cluster)), FOLLOW_SECONDS, f"all of {names(cluster.members)} at work")
    return seconds


@contextmanager
def made_synchronous(cluster, old, new):
    """Patroni hands over to a synchronous replica only: meanwhile more of them are, where this one was not."""

    def ready():
        primary = View(cluster, old)
        return is_synchronous(primary, new) and new.name in primary.successors

    if not old.synchronous_replicas or ready():
        yield
        return
    set_synchronous(old, len(cluster.members) - 1)
    try:
        wait_until(ready, SYNCHRONOUS_SECONDS, f"{new.name} is synchronous")
        yield
    finally:
        set_synchronous(new, old.synchronous_replicas)


def set_synchronous(member, count):
    if refusal := member.patroni.order("PATCH", "/config", {"synchronous_node_count": count}, seconds=CATCH_UP_SECONDS):
        raise Failed(f"synchronous_node_count can not be set to {count}: {refusal}. Deploying sets it anew")


def shutdown_lsn(member):
    """Where the WAL of a server that was shut down in its orderly way ends. Raises `Failed` where it was not."""
    command = [str(Path(member.bin) / "pg_controldata"), str(member.data)]
    said = subprocess.run(command, capture_output=True, text=True, env={"LC_ALL": "C"}, check=True).stdout  # noqa: S603
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in said.splitlines())}
    if facts["Database cluster state"] != "shut down":
        raise Failed(f"{member.name} did not stop in its orderly way: its state is {facts['Database cluster state']!r}")
    high, low = facts["Latest checkpoint location"].split("/")
    return (int(high, 16) << 32) + int(low, 16) + 1  # the checkpoint begins there, and must have been replayed


def replayed(member):
    return member.run("SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint AS lsn")[0]["lsn"]


class SteadyWriter(threading.Thread):
    """A client that writes without a pause, to whoever takes writes, and logs in again when its connection breaks."""

    def __init__(self, cluster):
        super().__init__(daemon=True)
        members = cluster.members
        ports = ",".join(str(member.port) for member in members)
        self._login = members[0].login(",".join([HOST] * len(members)), ports) | {"target_session_attrs": "read-write"}
        self._stopped = threading.Event()
        self.acknowledged_at = 0.0  # by the monotonic clock; 0 before the first
        self.longest_seconds = 0.0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stopped.set()
        self.join(CATCH_UP_SECONDS)

    def run(self):
        while not self._stopped.is_set():
            try:
                self._write_on_one_connection()
            except psycopg2.Error:
                self._stopped.wait(PAUSE_SECONDS)

    def _write_on_one_connection(self):
        connection = psycopg2.connect(**self._login)
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            while not self._stopped.is_set():
                cursor.execute(WRITE)
                now = time.monotonic()
                if self.acknowledged_at:
                    self.longest_seconds = max(self.longest_seconds, now - self.acknowledged_at)
                self.acknowledged_at = now
                self._stopped.wait(PAUSE_SECONDS)
        finally:
            connection.close()


if __name__ == "__main__":
    main()

"""What the members of the PostgreSQL cluster say of themselves at one moment, the table of it, and what is wrong."""

import time

import psycopg2
from ansible.module_utils.postgresql_cluster import names, one_line
from tabulate import tabulate

STORE_SECONDS = 20  # Patroni writes to etcd every few seconds

# The timeline is that of the newest segment: a standby's control file learns of it only at its next restart point.
# at_end: it has replayed all that it has, and waits for more.
LOOK = """
    SELECT standby,
           (CASE WHEN standby THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                 ELSE pg_current_wal_flush_lsn() END - '0/0')::bigint AS lsn,
           (SELECT max(('x' || left(name, 8))::bit(32)::int) FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$')
               AS timeline,
           EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'startup'
                       AND wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')) AS at_end
    FROM pg_is_in_recovery() AS standby
"""
FOLLOWERS = """
    SELECT application_name AS name, sync_state, COALESCE(extract(epoch FROM replay_lag), 0)::float AS replay_seconds
    FROM pg_stat_replication WHERE state = 'streaming'
"""


class View:
    """One member at one moment. Where it does not answer, `problem` says why, and the rest is None.

    `patroni` is what its Patroni says, which there is with automatic failover only; None where that does not answer.
    `successors` are the replicas that may take over from it, as Patroni knows of a member that takes writes.
    """

    def __init__(self, cluster, member):
        self.member = member
        self.standby = self.lsn = self.timeline = self.at_end = None
        self.followers, self.successors, self.problem = {}, frozenset(), None
        self.patroni = member.patroni and member.patroni.status()
        if member.port is None or not member.has_data:
            self.problem = "has no data"
            return
        try:
            with member.session() as cursor:
                cursor.execute(LOOK)
                self.__dict__.update(cursor.fetchone())
                cursor.execute(FOLLOWERS)
                self.followers = {row["name"]: row for row in cursor.fetchall()}
        except psycopg2.Error as error:
            self.problem = f"{cluster.programs.state(member.name)}: {one_line(error)}"
        if member.patroni and self.writable:
            self.successors = member.patroni.synchronous()

    @property
    def writable(self):
        return self.problem is None and not self.standby

    @property
    def progress(self):
        """Greater is more advanced: a later timeline has replaced what an earlier one went on to write."""
        return self.timeline, self.lsn, -self.member.number


def look(cluster):
    return [View(cluster, member) for member in cluster.members]


def find_problems(views):
    """A sentence for each, with the remedy; none where one member takes writes and all others follow it."""
    problems = [
        f"{view.member.name} is fenced, as a primary that was lost. {remedy(view)}"
        if view.member.is_fenced
        else f"{view.member.name} does not answer ({view.problem}); see make logs"
        for view in views
        if view.problem
    ]
    problems += [problem for view in views if view.member.patroni for problem in _find_problems_of_patroni(view)]
    is_synchronous = any(view.member.patroni and view.member.synchronous_replicas for view in views)
    if is_synchronous and not any(view.successors for view in views):
        problems.append("no replica is synchronous, so that nobody may take over from the primary")
    writable = [view for view in views if view.writable]
    if not writable and any(view.member.patroni for view in views):
        return [*problems, "no member takes writes. Patroni elects one; where it does not, failover.yml says why"]
    if not writable:
        return [*problems, "no member takes writes. Run failover.yml"]
    if len(writable) > 1:
        writers = names(view.member for view in writable)
        return [*problems, f"{writers} take writes apart from each other. Stop all but the right one at once"]
    (primary,) = writable
    return problems + [
        f"{view.member.name} does not follow {primary.member.name}; its log says why. {remedy(view)}"
        for view in views
        if view.standby and view.member.name not in primary.followers
    ]


def _find_problems_of_patroni(view):
    said, name = view.patroni, view.member.name
    if said is None:
        return [f"the Patroni of {name} does not answer; see make logs"]
    problems = []
    if said.get("pause"):
        problems.append(f"{name}: nobody fails over, because of a pause. End it: patronictl resume")
    if time.time() - said.get("dcs_last_seen", 0) > STORE_SECONDS:
        problems.append(f"the Patroni of {name} does not reach etcd; see make logs")
    return problems


def remedy(view):
    return f"Make it a replica anew: reinit-replica.yml -e member={view.member.name}"


def render(views):
    """The table, a line for each member."""
    primary = next((view for view in views if view.writable), None)
    rows = [[view.member.name, view.member.port, *_describe(view, primary)] for view in views]
    headers = ["database", "port", "role", "state", "timeline", "behind"]
    if any(view.member.patroni for view in views):
        rows = [[*row, _describe_patroni(view, primary)] for row, view in zip(rows, views, strict=True)]
        headers.append("Patroni")
    return tabulate(rows, headers=headers)


def _describe_patroni(view, primary):
    said = view.patroni
    if said is None:
        return "no answer"
    role = "sync standby" if primary and view.member.name in primary.successors else said.get("role", "no role")
    return f"{role}, {said.get('replication_state') or said.get('state', 'no state')}"


def _describe(view, primary):
    if view.member.is_fenced:
        return "none", "fenced", "", ""
    if view.problem:
        return "standby" if view.member.is_standby else "primary", "no answer", "", ""
    if not view.standby:
        return "primary", "takes writes", view.timeline, ""
    follower = primary.followers.get(view.member.name) if primary else None
    if follower is None:
        return "standby", "follows nobody", view.timeline, ""
    state = "synchronous" if follower["sync_state"] in ("sync", "quorum") else "asynchronous"
    behind = f"{max(0, primary.lsn - view.lsn)} bytes, {follower['replay_seconds']:.1f} s"
    return "standby", state, view.timeline, behind

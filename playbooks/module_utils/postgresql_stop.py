"""Stops all members of the database, so that whoever was the primary is it again when they are back.

Without Patroni a primary that is stopped stays one, and goes first: it sends all that it has to its replicas before it
ends. Patroni hands over when the primary is stopped while others run, which would be once for each member; so there it
goes last. Whoever is synchronous when all are gone may lead when they are back: it first sees that it is alone.
"""

import psycopg2
from ansible.module_utils.postgresql_cluster import wait_until

ALONE_SECONDS = 15


def stop_members(cluster, stop):
    """`stop` is given the names of some members, and returns when they have ended. Raises `Failed`."""
    leaders = cluster.leaders()
    first = [member for member in cluster.members if member not in leaders] if leaders else cluster.primaries()
    stop([member.name for member in first])
    for leader in leaders:
        wait_until(lambda leader=leader: is_alone(leader), ALONE_SECONDS, f"{leader.name} waits for no replica")
    stop([member.name for member in cluster.members if member not in first])


def is_alone(primary):
    """Patroni notes in etcd that nobody else may lead before it tells PostgreSQL to wait for nobody."""
    try:
        return primary.run("SHOW synchronous_standby_names")[0]["synchronous_standby_names"] == ""
    except psycopg2.Error:
        return False

#!/usr/bin/python
"""Stops a database with automatic failover so that its primary is the last to go, and will be the primary again.

Patroni hands over when the primary is stopped while others run, which here would be once for each member. Whoever is
synchronous when all are gone may lead when they are back; so the primary first sees that it is alone, and notes it.
Nothing is to be done where a person fails over: a primary that is stopped stays one.
"""

import psycopg2
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Cluster, Failed, wait_until

STOP_SECONDS = 120  # longer than any program's stopwaitsecs
ALONE_SECONDS = 15
NOT_RUNNING = ("stopped", "exited", "fatal", "backoff", "not started")


def main():
    module = AnsibleModule(argument_spec={"state_dir": {"type": "path", "required": True}})
    cluster = Cluster(module.params["state_dir"])
    leaders = cluster.leaders()
    if len(leaders) != 1:
        module.exit_json(changed=False)  # there is nobody to be kept
    try:
        with cluster.lock():
            halt(cluster, leaders[0])
    except Failed as failed:
        module.fail_json(msg=str(failed))
    module.exit_json(changed=True)


def halt(cluster, primary):
    """Clients first: the replicas of the server hand back their work to a database that still is there."""
    database = [member.name for member in cluster.members]
    stop_all(cluster, [name for name in cluster.programs.names() if name not in (*database, "etcd")])
    stop_all(cluster, [name for name in database if name != primary.name])
    wait_until(lambda: is_alone(primary), ALONE_SECONDS, f"{primary.name} waits for no replica")
    cluster.programs.stop(primary.name, wait=True)


def stop_all(cluster, names):
    for name in names:
        cluster.programs.stop(name, wait=False)
    for name in names:
        wait_until(lambda name=name: cluster.programs.state(name) in NOT_RUNNING, STOP_SECONDS, f"the end of {name}")


def is_alone(primary):
    """Patroni notes in etcd that nobody else may lead before it tells PostgreSQL to wait for nobody."""
    try:
        return primary.run("SHOW synchronous_standby_names")[0]["synchronous_standby_names"] == ""
    except psycopg2.Error:
        return False


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Stops a database with automatic failover so that its primary is the last to go, and will be the primary again.

Nothing is to be done where a person fails over: a primary that is stopped stays one.
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.postgresql_cluster import Cluster, Failed, wait_until
from ansible.module_utils.postgresql_stop import stop_members

STOP_SECONDS = 120  # longer than any program's stopwaitsecs
NOT_RUNNING = ("stopped", "exited", "fatal", "backoff", "not started")


def main():
    module = AnsibleModule(argument_spec={"state_dir": {"type": "path", "required": True}})
    cluster = Cluster(module.params["state_dir"])
    if len(cluster.leaders()) != 1:
        module.exit_json(changed=False)  # there is nobody to be kept
    try:
        with cluster.lock():
            halt(cluster)
    except Failed as failed:
        module.fail_json(msg=str(failed))
    module.exit_json(changed=True)


def halt(cluster):
    """Clients first: the replicas of the server hand back their work to a database that still is there."""
    database = [member.name for member in cluster.members]
    stop_all(cluster, [name for name in cluster.programs.names() if name not in (*database, "etcd")])
    stop_members(cluster, lambda names: stop_all(cluster, names))


def stop_all(cluster, names):
    for name in names:
        cluster.programs.stop(name, wait=False)
    for name in names:
        wait_until(lambda name=name: cluster.programs.state(name) in NOT_RUNNING, STOP_SECONDS, f"the end of {name}")


if __name__ == "__main__":
    main()

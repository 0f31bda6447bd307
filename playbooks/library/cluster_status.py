#!/usr/bin/python
"""Reads what runs from the load balancer and from each replica, and makes a table and a verdict of it."""

import json
import time
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule
from tabulate import tabulate

REQUEST_SECONDS = 5
POLL_SECONDS = 0.2


def main():
    module = AnsibleModule(
        argument_spec={
            "base_url": {"required": True},
            "replica_ports": {"type": "dict", "required": True},  # by name, as they are deployed
            "timeout_seconds": {"type": "float", "default": 0},  # how long to wait for a complete cluster
        },
        supports_check_mode=True,
    )
    give_up_at = time.monotonic() + module.params["timeout_seconds"]
    while True:
        cluster, readiness = read(module.params["base_url"], module.params["replica_ports"])
        problems = find_problems(cluster, readiness)
        if not problems or time.monotonic() > give_up_at:
            break
        time.sleep(POLL_SECONDS)
    summary = f"{render(cluster, readiness)}\n\n{hint(module.params['base_url'])}"
    if problems:
        module.fail_json(
            msg="Not everything works:\n" + "\n".join(f"- {p}" for p in problems), summary=summary
        )
    module.exit_json(changed=False, summary=summary)


def read(base_url, replica_ports):
    """The cluster as the load balancer shows it (None: no answer), and each replica's own word."""
    status, body = get(f"{base_url}/api/v1/cluster")
    cluster = body if status == 200 and isinstance(body, dict) else None
    return cluster, {
        name: get(f"http://127.0.0.1:{port}/readyz") for name, port in sorted(replica_ports.items())
    }


def get(url):
    """(status, decoded body); status is None where nobody answers, and the body then says why."""
    try:
        with urllib.request.urlopen(url, timeout=REQUEST_SECONDS) as response:  # noqa: S310
            status, content = response.status, response.read()
    except urllib.error.HTTPError as error:
        status, content = error.code, error.read()
    except OSError as error:
        return None, str(getattr(error, "reason", error))
    try:
        return status, json.loads(content)
    except ValueError:
        return status, content.decode(errors="replace")


def find_problems(cluster, readiness):
    problems = []
    for name, (status, body) in readiness.items():
        if status is None:
            problems.append(f"{name} does not answer ({body}); see its log: make logs")
        elif status != 200:
            problems.append(f"{name} is not ready ({status}): {json.dumps(body)}")
    if cluster is None:
        return [*problems, "the load balancer reaches no replica; see make logs"]
    if not cluster["leader"]:
        problems.append("no replica leads; one will within leadership_lease_seconds if the database is well")
    elif leader_name(cluster) not in readiness:
        problems.append(f"the leader, {leader_name(cluster)}, is not a replica of this deployment")
    if cluster["schemaVersion"]["pending"]:
        problems.append(f"{cluster['schemaVersion']['pending']} migrations are pending")
    return problems


def leader_name(cluster):
    return cluster["leader"]["replica"] if cluster and cluster["leader"] else None


def render(cluster, readiness):
    """The table, a line for each replica that is wanted."""
    seen = {replica["name"]: replica for replica in (cluster or {}).get("replicas", []) if replica["ready"]}
    rows = []
    for name, (status, _) in readiness.items():
        leads = name == leader_name(cluster)
        rows.append(
            [
                name,
                seen.get(name, {}).get("version", "-"),
                {200: "yes", None: "no answer"}.get(status, "no"),
                f"leader, epoch {cluster['leader']['epoch']}" if leads else "-",
                cluster["catalog"]["sources"] if cluster else "-",
                cluster["catalog"]["models"] if cluster else "-",
                cluster["jobs"]["completed"] if cluster else "-",
            ]
        )
    headers = ["replica", "version", "ready", "leads", "sources", "models served", "jobs done"]
    return tabulate(rows, headers=headers, disable_numparse=True)


def hint(base_url):
    """What to type next."""
    return (
        f"{base_url} serves the catalog. Try: curl '{base_url}/api/model_catalog/v1alpha1/models?pageSize=3'"
    )


if __name__ == "__main__":
    main()

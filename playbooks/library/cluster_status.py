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
            "base_url": {"type": "str", "required": True},
            "replica_ports": {"type": "dict"},  # of replicas on this machine, by name, as they are deployed
            "pods": {"type": "list", "elements": "dict"},  # of replicas on Kubernetes, as its API shows them
            "timeout_seconds": {"type": "float", "default": 0},  # how long to wait for a settled cluster
        },
        required_one_of=[["replica_ports", "pods"]],
        mutually_exclusive=[["replica_ports", "pods"]],
        supports_check_mode=True,
    )
    base_url = module.params["base_url"]
    give_up_at = time.monotonic() + module.params["timeout_seconds"]
    while True:
        cluster = read_cluster(base_url)
        if module.params["pods"] is not None:
            readiness = {pod["metadata"]["name"]: pod_readiness(pod) for pod in module.params["pods"]}
        else:
            readiness = ask_replicas(module.params["replica_ports"])
        problems = find_problems(cluster, readiness)
        if (not problems and is_settled(cluster)) or time.monotonic() >= give_up_at:
            break
        time.sleep(POLL_SECONDS)
    summary = f"{render(cluster, readiness)}\n\n{hint(base_url)}"
    if problems:
        module.fail_json(msg="\n".join(["Not everything works:"] + [f"- {p}" for p in problems]), summary=summary)
    module.exit_json(changed=False, summary=summary)


def read_cluster(base_url):
    """The cluster as the load balancer shows it; None: no answer."""
    status, body = get(f"{base_url}/api/v1/cluster")
    return body if status == 200 and isinstance(body, dict) else None


def ask_replicas(replica_ports):
    """Each replica's own word, as `get` returns it."""
    return {name: get(f"http://127.0.0.1:{port}/readyz") for name, port in sorted(replica_ports.items())}


def pod_readiness(pod):
    """What the probes say of a pod, in the form of an answer to them."""
    conditions = {condition["type"]: condition for condition in pod["status"].get("conditions", [])}
    ready = conditions.get("Ready", {"status": "False", "message": pod["status"]["phase"]})
    return (200, {}) if ready["status"] == "True" else (503, ready.get("message", ready.get("reason", "unknown")))


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
            problems.append(f"{name} does not answer ({body}); see make logs")
        elif status != 200:
            problems.append(f"{name} is not ready ({status}): {json.dumps(body)}")
    if cluster is None:
        return [*problems, "the load balancer reaches no replica that answers; see make logs"]
    if leader_name(cluster) not in readiness:
        problems.append("no replica leads; a successor is elected within leadership_lease_seconds")
    if cluster["schemaVersion"]["pending"]:
        problems.append(f"migrations are pending: {cluster['schemaVersion']['pending']}")
    return problems


def is_settled(cluster):
    """Every refresh that was due is done."""
    jobs = cluster["jobs"]
    return jobs["completed"] > 0 and not jobs["available"] and not jobs["running"]


def leader_name(cluster):
    """None where nobody leads, or the one who did is gone."""
    return cluster["leader"]["replica"] if cluster and cluster["leader"] else None


def render(cluster, readiness):
    """The table, a line for each replica that is deployed."""
    known = {replica["name"]: replica for replica in cluster["replicas"]} if cluster else {}
    rows = []
    for name, (status, _) in readiness.items():
        leads = name == leader_name(cluster)
        rows.append(
            [
                name,
                known.get(name, {}).get("version", "-"),
                {200: "yes", None: "no answer"}.get(status, "no"),
                "leader" if leads else "follower",
                cluster["leader"]["epoch"] if leads else "",
                cluster["catalog"]["sources"] if cluster else "-",
                cluster["catalog"]["models"] if cluster else "-",
                cluster["jobs"]["completed"] if cluster else "-",
            ]
        )
    headers = ["replica", "version", "ready", "role", "epoch", "sources", "models", "jobs done"]
    return tabulate(rows, headers=headers)


def hint(base_url):
    """What to type next."""
    return f"{base_url} serves the catalog. Try: curl '{base_url}/api/model_catalog/v1alpha1/models?pageSize=3'"


if __name__ == "__main__":
    main()

#!/usr/bin/python
"""Reads what runs from the load balancer and from each replica, and makes a table and a verdict of it.

On Kubernetes the API says which replicas there are and what the probes think of them; without an address of the service
it is asked through a port that kubectl forwards.
"""

import contextlib
import json
import re
import subprocess
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
            "base_url": {"type": "str", "default": ""},  # of the load balancer; on Kubernetes it may be empty
            "replica_ports": {"type": "dict"},  # of replicas on this machine, by name, as they are deployed
            "kubectl": {"type": "list", "elements": "str"},  # the command with its cluster and namespace
            "release": {"type": "str"},  # of replicas on Kubernetes
            "timeout_seconds": {"type": "float", "default": 0},  # how long to wait for a settled cluster
        },
        required_one_of=[["replica_ports", "kubectl"]],
        required_together=[["kubectl", "release"]],
        mutually_exclusive=[["replica_ports", "kubectl"]],
        supports_check_mode=True,
    )
    give_up_at = time.monotonic() + module.params["timeout_seconds"]
    while True:
        try:
            cluster, readiness, nodes, problems = look(module.params)
        except OSError as error:
            module.fail_json(msg=str(error))
        if (not problems and is_settled(cluster)) or time.monotonic() >= give_up_at:
            break
        time.sleep(POLL_SECONDS)
    summary = f"{render(cluster, readiness, nodes)}\n\n{hint(module.params)}"
    if problems:
        module.fail_json(msg="\n".join(["Not everything works:"] + [f"- {p}" for p in problems]), summary=summary)
    module.exit_json(changed=False, summary=summary)


def look(params):
    """(cluster, readiness by replica, node by replica, problems); no node for a replica on this machine."""
    if params["kubectl"] is None:
        cluster, readiness = read_cluster(params["base_url"]), ask_replicas(params["replica_ports"])
        return cluster, readiness, {}, find_problems(cluster, readiness)
    wanted, pods = read_replicas(params["kubectl"], params["release"])
    readiness = {pod["metadata"]["name"]: pod_readiness(pod) for pod in pods}
    nodes = {pod["metadata"]["name"]: pod["spec"].get("nodeName", "-") for pod in pods}
    with contextlib.ExitStack() as stack:
        base_url = params["base_url"] or stack.enter_context(forwarded(params["kubectl"], params["release"]))
        cluster = read_cluster(base_url)
    problems = find_problems(cluster, readiness, logs=" ".join([*params["kubectl"], "logs", "POD"]))
    if wanted != len(pods):
        problems.append(f"there are {len(pods)} pods, {wanted} are wanted")
    return cluster, readiness, nodes, problems


def read_replicas(kubectl, release):
    """(how many are wanted, the pods that are not on their way out); OSError where the cluster does not tell."""
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=server"
    command = [*kubectl, "get", "deployments,pods", "--selector", selector, "--output", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - as the playbook has it
    if done.returncode:
        raise OSError(done.stderr.strip())
    items = json.loads(done.stdout)["items"]
    wanted = [item["spec"]["replicas"] for item in items if item["kind"] == "Deployment"]
    if not wanted:
        raise OSError(f"release = {release}: it is not deployed there. Run deploy.yml first")
    pods = [item for item in items if item["kind"] == "Pod" and "deletionTimestamp" not in item["metadata"]]
    return wanted[0], sorted(pods, key=lambda pod: pod["metadata"]["name"])


@contextlib.contextmanager
def forwarded(kubectl, release):
    """The address of a port of this machine that leads to one replica, for as long as the context lasts."""
    command = [*kubectl, "port-forward", f"service/{release}", ":http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            port = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            yield f"http://127.0.0.1:{port[1] if port else 0}"
        finally:
            process.terminate()


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


def find_problems(cluster, readiness, logs="make logs"):
    problems = []
    for name, (status, body) in readiness.items():
        if status is None:
            problems.append(f"{name} does not answer ({body}); see {logs}")
        elif status != 200:
            problems.append(f"{name} is not ready ({status}): {json.dumps(body)}")
    if cluster is None:
        return [*problems, f"the load balancer reaches no replica that answers; see {logs}"]
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


def render(cluster, readiness, nodes=None):
    """The table, a line for each replica that is deployed."""
    known = {replica["name"]: replica for replica in cluster["replicas"]} if cluster else {}
    rows = []
    for name, (status, _) in readiness.items():
        leads = name == leader_name(cluster)
        rows.append(
            [
                name,
                *([nodes[name]] if nodes else []),
                known.get(name, {}).get("version", "-"),
                {200: "yes", None: "no answer"}.get(status, "no"),
                "leader" if leads else "follower",
                cluster["leader"]["epoch"] if leads else "",
                cluster["catalog"]["sources"] if cluster else "-",
                cluster["catalog"]["models"] if cluster else "-",
                cluster["jobs"]["completed"] if cluster else "-",
            ]
        )
    headers = [
        "replica",
        *(["node"] if nodes else []),
        "version",
        "ready",
        "role",
        "epoch",
        "sources",
        "models",
        "jobs done",
    ]
    return tabulate(rows, headers=headers)


def hint(params):
    """What to type next."""
    base_url = params["base_url"]
    if base_url:
        return f"{base_url} serves the catalog. Try: curl '{base_url}/api/model_catalog/v1alpha1/models?pageSize=3'"
    return f"To reach the catalog: {' '.join(params['kubectl'])} port-forward service/{params['release']} 8080:http"


if __name__ == "__main__":
    main()

"""The basics, asked through the Service: it is ready, lists the catalog, and has one leader among enough replicas."""

import json
import sys
import time
import urllib.request

url, replicas = sys.argv[1], int(sys.argv[2])
GIVE_UP_AT = time.monotonic() + 60


def ask(path):
    with urllib.request.urlopen(url + path, timeout=10) as response:
        return json.load(response)


def amiss():
    """What does not hold yet; None where all does."""
    if ask("/readyz")["status"] != "ready":
        return "not ready"
    ask("/api/model_catalog/v1alpha1/models?pageSize=1")
    cluster = ask("/api/v1/cluster")
    ready = [replica["name"] for replica in cluster["replicas"] if replica["ready"]]
    leaders = [replica["name"] for replica in cluster["replicas"] if replica["leader"]]
    if len(ready) < replicas:
        return f"{len(ready)} of {replicas} replicas are ready: {', '.join(ready)}"
    if len(leaders) != 1:
        return f"{len(leaders)} replicas lead: {', '.join(leaders)}"
    if cluster["schemaVersion"]["pending"]:
        return f"{cluster['schemaVersion']['pending']} schema versions are pending"
    print(f"ready: {', '.join(ready)}; leader: {leaders[0]}; schema {cluster['schemaVersion']['current']}")
    return None


while True:
    try:
        problem = amiss()
    except (OSError, ValueError, KeyError) as error:
        problem = repr(error)
    if problem is None:
        break
    if time.monotonic() > GIVE_UP_AT:
        sys.exit(problem)
    time.sleep(1)

"""The replicas may do with the API what leadership and the recorded state need, and nothing else."""

import subprocess

import pytest

from e2e.cluster import NAMESPACE, RELEASE, Cluster

ACCOUNT = f"system:serviceaccount:{NAMESPACE}:{RELEASE}"
GRANTED = [
    ("get", f"leases.coordination.k8s.io/{RELEASE}"),
    ("update", f"leases.coordination.k8s.io/{RELEASE}"),
    ("create", "leases.coordination.k8s.io"),  # by name this can not be limited: the object is not there yet
    ("get", f"configmaps/{RELEASE}-state"),
    ("update", f"configmaps/{RELEASE}-state"),
    ("create", "configmaps"),
]
REFUSED = [
    ("get", "leases.coordination.k8s.io/another"),
    ("list", "leases.coordination.k8s.io"),
    ("delete", f"leases.coordination.k8s.io/{RELEASE}"),
    ("get", "configmaps/another"),
    ("get", f"configmaps/{RELEASE}-config"),
    ("list", "configmaps"),
    ("delete", f"configmaps/{RELEASE}-state"),
    ("get", "secrets"),
    ("list", "pods"),
    ("create", "pods/exec"),
    ("patch", "deployments.apps"),
    ("get", "nodes"),
    ("*", "*"),
]


def can(cluster: Cluster, verb: str, what: str, namespace: str = NAMESPACE) -> str:
    try:
        return cluster.kubectl("auth", "can-i", verb, what, "--as", ACCOUNT, namespace=namespace).splitlines()[-1]
    except subprocess.CalledProcessError as error:  # "no" is an exit code as well
        return str(error.output).splitlines()[-1]


@pytest.mark.parametrize(("verb", "what"), GRANTED)
def test_what_leadership_needs_is_granted(verb: str, what: str, cluster: Cluster) -> None:
    assert can(cluster, verb, what) == "yes"


@pytest.mark.parametrize(("verb", "what"), REFUSED)
def test_nothing_else_is(verb: str, what: str, cluster: Cluster) -> None:
    assert can(cluster, verb, what).startswith("no")


def test_nor_anything_in_another_namespace(cluster: Cluster) -> None:
    assert can(cluster, "get", f"leases.coordination.k8s.io/{RELEASE}", namespace="default").startswith("no")


def test_the_trial_database_has_no_account_to_speak_of(cluster: Cluster) -> None:
    pod = cluster.get("pod", f"{RELEASE}-postgresql-0")
    assert pod["spec"]["automountServiceAccountToken"] is False

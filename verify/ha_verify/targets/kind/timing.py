"""How long kube-proxy goes on with a replica that does not serve: from the probes of the Deployment."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ha_verify.targets.kind.deployment import CONTAINER
from ha_verify.targets.target import Timing

# From a change of a pod's readiness to the rules of every node: the kubelet writes the status, a controller the
# endpoints, and kube-proxy the rules, at most once a second.
SPREAD_SECONDS = 5.0
# The kubelet looks for ended containers once a second; meanwhile the pod's network refuses connections.
END_SEEN_SECONDS = 3.0
# A node that says nothing is given 50 s (the controller manager's default since Kubernetes 1.32, 40 s before).
NODE_GRACE_SECONDS = 50.0
# A pod is scheduled, its network made, its image's Python started, on a node that has less than a core to itself.
START_SECONDS = 60.0


def timing(settings: Mapping[str, Any], template: Mapping[str, Any]) -> Timing:
    """`settings` are the server's, `template` is the pod template of its Deployment."""
    container = next(each for each in template["spec"]["containers"] if each["name"] == CONTAINER)
    probe = container.get("readinessProbe") or {}
    period = float(probe.get("periodSeconds", 10))
    return Timing.of_settings(
        settings,
        start=START_SECONDS,
        end_noticed=END_SEEN_SECONDS + SPREAD_SECONDS,
        silence_noticed=period * int(probe.get("failureThreshold", 3))
        + float(probe.get("timeoutSeconds", 1))
        + SPREAD_SECONDS,
        node_noticed=NODE_GRACE_SECONDS + 2 * SPREAD_SECONDS,
        readmitted=period * int(probe.get("successThreshold", 1)) + SPREAD_SECONDS,
        before_stop=_pre_stop_seconds(container),
    )


def replicated(alone: Timing, patroni: Mapping[str, Any]) -> Timing:
    """With a database whose members Patroni runs, told to do so by `patroni`."""
    # Every node has to learn where the Service of the primary leads, before a replica can be ready again.
    return replace(alone.under_patroni(patroni), readmitted=alone.readmitted + SPREAD_SECONDS)


def _pre_stop_seconds(container: Mapping[str, Any]) -> float:
    """Of a hook that sleeps; a hook that does something else counts as none."""
    hook = (container.get("lifecycle") or {}).get("preStop") or {}
    if "sleep" in hook:
        return float(hook["sleep"]["seconds"])
    command = (hook.get("exec") or {}).get("command") or []
    return float(command[1]) if len(command) == 2 and command[0] in ("sleep", "/bin/sleep") else 0.0

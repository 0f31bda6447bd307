"""The kind cluster of the end-to-end tests and the release in it, as a person handles them."""

import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

from pytest_kind import KindCluster

from e2e import waits

PROJECT = Path(__file__).parents[2]
PLAYBOOKS = PROJECT / "playbooks"
BIN = Path(sys.executable).parent
TOOLS = PROJECT / ".cache" / "kubernetes" / "bin"  # where the playbooks put what they build
NAMESPACE = "catalog"
RELEASE = "catalog-server"
PODS = "app.kubernetes.io/component=server"


def find_tool(name: str) -> Path | None:
    """As the playbooks look for it: in the cache, then on the PATH."""
    cached = TOOLS / name
    found = str(cached) if cached.is_file() else shutil.which(name)
    return Path(found) if found else None


class Cluster:
    """`deploy` before anything else. Every method raises with what the tool said where it fails."""

    def __init__(self, name: str, *, http_port: int, postgresql_port: int, log: Path) -> None:
        self.name = name
        self.log = log
        self.state_dir = PROJECT / ".state" / name
        self.variables: dict[str, Any] = {
            "state_dir": str(self.state_dir),
            "kind_cluster": name,
            "kind_http_port": http_port,
            "kind_postgresql_port": postgresql_port,
        }
        self.http_port = http_port
        self.url = f"http://127.0.0.1:{http_port}"
        self.kind: KindCluster | None = None

    def create(self) -> None:
        """Creates the cluster where there is none; everything that it needs is built or pulled."""
        self.play("kind.yml", event="cluster created")
        self.play("image.yml", event="images built")
        kind, kubectl = find_tool("kind"), find_tool("kubectl")
        assert kind is not None
        assert kubectl is not None
        kubeconfig = self.state_dir / "kubeconfig"
        self.kind = KindCluster(self.name, kubeconfig, kind_path=kind, kubectl_path=kubectl)
        self.kind.create()  # finds it there

    def delete(self) -> None:
        self.play("kind-down.yml", event="cluster created")

    def play(self, playbook: str, *, event: str = "chart deployed", succeed: bool = True, **variables: Any) -> str:
        """Runs a playbook; returns what it printed. One that should fail must."""
        words = json.dumps(self.variables | variables)
        done = subprocess.run(
            [BIN / "ansible-playbook", "-i", "inventories/kind", playbook, "--extra-vars", words],
            cwd=PLAYBOOKS,
            env=os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=waits.longest(event),
        )
        with self.log.open("a", encoding="utf-8") as log:
            log.write(f"=== {playbook} {words}\n{done.stdout}\n")
        assert (done.returncode == 0) is succeed, done.stdout
        return done.stdout

    def kubectl(self, *words: str, namespace: str = NAMESPACE) -> str:
        assert self.kind is not None
        return str(self.kind.kubectl("--namespace", namespace, *words, stderr=subprocess.STDOUT))

    def helm(self, *words: str) -> str:
        helm = find_tool("helm")
        assert helm is not None
        command = [str(helm), "--kubeconfig", str(self.state_dir / "kubeconfig"), *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def get(self, *words: str) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.kubectl("get", *words, "--output", "json"))
        return document

    def pods(self) -> list[dict[str, Any]]:
        """The replicas that are not on their way out."""
        items = self.get("pods", "--selector", PODS)["items"]
        return [pod for pod in items if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[str]:
        return [
            pod["metadata"]["name"]
            for pod in self.pods()
            for condition in pod.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready" and condition["status"] == "True"
        ]

    def node_of(self, pod: str) -> str:
        return str(self.get("pod", pod)["spec"]["nodeName"])

    def lease_holder(self) -> str | None:
        """The pod that holds the Lease."""
        holder = self.get("lease", RELEASE)["spec"].get("holderIdentity")
        return holder.split("/")[0] if holder else None

    def ask(self, path: str) -> Any:
        """GET through the Service, as a client outside of the cluster."""
        with urllib.request.urlopen(self.url + path, timeout=10) as response:
            return json.load(response)

    def overview(self) -> dict[str, Any]:
        document: dict[str, Any] = self.ask("/api/v1/cluster")
        return document

    def wait_until_ready(self, replicas: int = 3) -> None:
        """So many pods are there, all of them ready, and one of them holds the Lease."""

        def look() -> bool:
            ready = self.ready_pods()
            return len(ready) == replicas == len(self.pods()) and self.lease_holder() in ready

        waits.until("replicas ready", look)

    def wait_for_another_leader(self, former: str) -> str:
        """The pod of the next one, once it is told by the database as well as by the Lease."""

        def look() -> str | None:
            holder = self.lease_holder()
            leader = self.overview()["leader"]
            return holder if holder != former and leader and leader["replica"] == holder else None

        return waits.until("leader changed", look)

    def dump(self, folder: Path) -> None:
        """What a person would look at after a failure: objects, events, logs of pods and nodes."""
        assert self.kind is not None
        folder.mkdir(parents=True, exist_ok=True)
        looks = {
            "objects.txt": ("get", "all,lease,configmap,pdb,hpa,networkpolicy", "--output", "wide"),
            "describe.txt": ("describe", "pods"),
            "events.txt": ("get", "events", "--sort-by", ".lastTimestamp"),
            "logs.txt": ("logs", "--selector", "app.kubernetes.io/name=catalog-server", "--prefix", "--tail", "2000"),
        }
        for name, words in looks.items():
            try:
                text = self.kubectl(*words)
            except subprocess.CalledProcessError as error:
                text = f"{error}\n{error.output}"
            (folder / name).write_text(text, encoding="utf-8")
        command = [str(self.kind.kind_path), "export", "logs", str(folder / "nodes"), "--name", self.name]
        subprocess.run(command, capture_output=True, check=False)

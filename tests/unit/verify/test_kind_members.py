"""What the kind target asks of a cluster to break and to mend the database's members, and in which order."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import pytest

from ha_verify.targets.kind import deployment, members
from ha_verify.targets.kind.console import NotReached
from ha_verify.targets.kind.cordons import CORDONED, Cordons
from ha_verify.targets.kind.member_pods import MemberPods
from ha_verify.targets.kind.members import KindMembers
from ha_verify.targets.kind.pods import Pod
from ha_verify.targets.kind.replicated import ReplicatedDatabase
from ha_verify.targets.kind.services import Services
from ha_verify.targets.members import Member
from ha_verify.targets.playbook import PlaybookFailed
from ha_verify.targets.target import NotPossible

FIRST, SECOND, THIRD = ALL = tuple(f"catalog-server-db-{number}" for number in range(3))


@dataclass
class Cluster:
    """Three nodes with a member each. It is the API, the nodes and what the members say, each as far as it is asked."""

    primary: str = FIRST
    timeline: int = 1
    node: dict[str, str] = field(default_factory=lambda: {name: f"worker-{name[-1]}" for name in ALL})
    started: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ALL, 1))  # 0: its pod is on no node
    stopped: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    heeds_closed_nodes: bool = True
    undelivered: int | None = 8
    calls: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    generation: int = 1

    async def get(self, path: str) -> dict[str, Any]:
        if path.endswith("/statefulsets/catalog-server-db"):
            variables = [{"name": "PATRONI_NAME"}, {"name": "DATABASE_NAME", "value": "catalog"}]
            containers = [{"name": "postgresql", "env": variables}]
            return {"spec": {"replicas": 3, "template": {"spec": {"containers": containers}}}}
        if path == "/api/v1/namespaces/default/services/kubernetes":
            return {"spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 443}]}}
        if path.endswith("/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name=kubernetes"):
            return {"items": [{"endpoints": [{"addresses": ["172.18.0.2"]}], "ports": [{"port": 6443}]}]}
        if path.startswith("/api/v1/nodes/"):
            return self._node_document(path.rpartition("/")[2])
        if path == "/api/v1/nodes":
            return {"items": [self._node_document(name) for name in self.node.values()]}
        assert "/namespaces/catalog/pods?labelSelector=app.kubernetes.io/instance=catalog-server-db," in path
        return {"items": [self._pod_document(name) for name in ALL]}

    async def find(self, path: str) -> dict[str, Any] | None:
        return await self.get(path)

    def _node_document(self, name: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "annotations": {CORDONED: "true"} if name in self.closed else {}}}

    def _pod_document(self, name: str) -> dict[str, Any]:
        there = self.started[name]
        metadata = {"name": name, "uid": f"{name}/{there}"}
        if not there:
            return {"metadata": metadata, "spec": {}, "status": {"phase": "Pending"}}
        main = {"name": "postgresql", "containerID": f"containerd://{name}/{there}", "state": {"running": {}}}
        status = {"phase": "Running", "podIP": f"10.244.{name[-1]}.2", "containerStatuses": [main]}
        return {"metadata": metadata, "spec": {"nodeName": self.node[name]}, "status": status}

    async def merge(self, path: str, document: Mapping[str, Any]) -> None:
        node = path.rpartition("/")[2]
        if document["spec"]["unschedulable"]:
            self.calls.append(f"close {node}")
            self.closed.add(node)
            return
        self.calls.append(f"reopen {node}")
        self.closed.discard(node)
        for name in ALL:
            if self.node[name] == node and not self.started[name]:
                self._start(name)

    async def delete(self, path: str, *, grace_seconds: int | None = None) -> None:
        name = path.rpartition("/")[2]
        self.calls.append(f"delete {name}" + (" in order" if grace_seconds is None else ""))
        self.started[name] = 0
        if self.node[name] not in self.closed or not self.heeds_closed_nodes:
            self._start(name)

    def _start(self, name: str) -> None:
        self.generation += 1
        self.started[name] = self.generation
        self.stopped.discard(name)

    async def signal(self, pod: Pod, signal: str) -> None:
        assert pod.running
        self.calls.append(f"{signal} {pod.name}")
        self.stopped.add(pod.name)

    async def end(self, pod: Pod) -> str:
        self.calls.append(f"end {pod.name}")
        self.stopped.discard(pod.name)
        if self.started[pod.name] and pod.container == f"{pod.name}/{self.started[pod.name]}":
            self._start(pod.name)  # as the kubelet does where the pod is to stay
        return "no process of it is left"

    async def silence(self, pod: Pod, port: int, others: Sequence[str]) -> None:
        self.calls.append(f"silence {pod.name}:{port} to {' '.join(others)}")

    async def isolate(self, pod: Pod, addresses: Sequence[tuple[str, int]]) -> str:
        self.calls.append(f"isolate {pod.name} from {' '.join(f'{host}:{port}' for host, port in addresses)}")
        return "frozen"

    async def reconnect(self, pod: Pod, addresses: Sequence[tuple[str, int]]) -> str:
        self.calls.append(f"reconnect {pod.name}")
        return "open"

    async def mend(self, node: str, pod: Pod) -> list[str]:
        self.calls.append(f"mend {pod.name}")
        stopped = [pod.container] if pod.name in self.stopped else []
        self.stopped.discard(pod.name)
        return stopped

    def command(self, node: str, *words: str) -> list[str]:
        return [node]

    def promote(self, name: str) -> None:
        self.primary, self.timeline = name, self.timeline + 1

    def run(self, playbook: str) -> str:
        self.calls.append(playbook)
        self.promote(SECOND)
        return ""


class FakeConsole:
    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name, self._node = name, command[0]
        self.closed = False

    @property
    def _cluster(self) -> Cluster:
        assert self._node == CLUSTER.node[self.name]
        if not CLUSTER.started[self.name] or self.name in CLUSTER.stopped:
            raise NotReached("timeout expired" if self.name in CLUSTER.stopped else "Connection refused")
        return CLUSTER

    def look(self, seconds: float) -> Member:
        cluster = self._cluster
        leads = cluster.primary == self.name
        return Member(self.name, "primary" if leads else "standby", cluster.timeline, 100, follows=not leads)

    def undelivered_bytes(self, seconds: float) -> int | None:
        return self._cluster.undelivered

    def query(self, query: str, parameters: Sequence[Any], *, database: str, seconds: float) -> list[dict[str, Any]]:
        CLUSTER.asked.append(self.name)
        if self._cluster.primary != self.name:
            raise NotReached("server is in hot standby mode")
        if query == "SELEC":
            raise psycopg2.OperationalError("syntax error")
        return [{"database": database}]

    def close(self) -> None:
        self.closed = True


CLUSTER: Cluster


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    global CLUSTER
    CLUSTER = Cluster()
    monkeypatch.setattr(members, "Console", FakeConsole)
    monkeypatch.setattr(deployment, "POLL_SECONDS", 0.01)
    return CLUSTER


def parts(cluster: Cluster) -> tuple[KindMembers, MemberPods]:
    """As a new run has them: they know nothing yet."""
    fake: Any = cluster
    pods = MemberPods(fake, "catalog")
    return KindMembers(fake, fake, Cordons(fake), Services(fake), pods, fake), pods


@pytest.fixture
async def known(cluster: Cluster) -> KindMembers:
    made, _ = parts(cluster)
    assert await made.names() == list(ALL)
    return made


async def test_a_lost_member_is_stopped_kept_away_and_only_then_killed(cluster: Cluster, known: KindMembers) -> None:
    told = await known.lose(FIRST)
    assert cluster.calls == [f"STOP {FIRST}", "close worker-0", f"delete {FIRST}", f"end {FIRST}"]
    assert told == "no process of it is left, and worker-0 takes no other"
    with pytest.raises(psycopg2.OperationalError, match="Connection refused"):
        await known.look(FIRST)


async def test_a_node_that_somebody_else_closed_stays_closed(cluster: Cluster, known: KindMembers) -> None:
    await known.start(FIRST)
    assert cluster.calls == []


async def test_one_that_comes_back_at_once_was_not_lost(cluster: Cluster, known: KindMembers) -> None:
    cluster.heeds_closed_nodes = False
    with pytest.raises(NotPossible, match=f"{FIRST} was to stay away, and is on worker-0 again"):
        await known.lose(FIRST)


@pytest.mark.parametrize("how", ["start", "rejoin"])
async def test_who_was_lost_comes_back_when_its_node_is_open(cluster: Cluster, known: KindMembers, how: str) -> None:
    await known.lose(THIRD)
    assert THIRD in await getattr(known, how)(THIRD) or how == "start"
    assert cluster.closed == set()
    assert (await known.look(THIRD)).follows


async def test_a_paused_member_says_nothing_until_it_is_resumed(cluster: Cluster, known: KindMembers) -> None:
    assert "timeout expired" in await known.pause(SECOND)
    assert await known.resume(SECOND) == f"{SECOND} goes on"
    assert (await known.look(SECOND)).follows
    assert await known.resume(SECOND) == f"{SECOND} was ended meanwhile"


async def test_one_that_answers_all_the_same_was_not_paused(
    cluster: Cluster, known: KindMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing_happens(pod: Pod, signal: str) -> None: ...

    monkeypatch.setattr(cluster, "signal", nothing_happens)
    with pytest.raises(NotPossible, match=f"{SECOND} was paused, and yet says that it is a standby"):
        await known.pause(SECOND)


async def test_a_silenced_member_is_cut_off_from_the_other_members_alone(cluster: Cluster, known: KindMembers) -> None:
    told = await known.silence(FIRST)
    assert cluster.calls == [f"silence {FIRST}:5432 to 10.244.1.2 10.244.2.2"]
    assert told == "what it sends to 2 members is lost, and 8 bytes are with none of them"


async def test_an_isolated_member_is_cut_off_from_the_others_and_from_the_api_and_still_answers(
    cluster: Cluster, known: KindMembers
) -> None:
    told = await known.isolate(FIRST)
    others = "10.244.1.2:5432 10.244.2.2:5432 10.96.0.1:443 172.18.0.2:6443"
    assert cluster.calls == [f"isolate {FIRST} from {others}"]
    assert told == "connections to the others and to the API server are frozen, and it answers as a primary"
    assert await known.reconnect(FIRST) == "connections to the API server are open"


async def test_nobody_is_crashed_since_the_kubelet_decides_what_comes_of_it(
    cluster: Cluster, known: KindMembers
) -> None:
    with pytest.raises(NotPossible, match="the kubelet decides"):
        await known.crash(FIRST)
    assert not cluster.calls


@pytest.mark.parametrize("undelivered", [0, -16, None])
async def test_one_whose_replicas_have_everything_was_not_silenced(
    cluster: Cluster, known: KindMembers, undelivered: int | None
) -> None:
    cluster.undelivered = undelivered
    with pytest.raises(NotPossible, match=f"{undelivered} bytes are with none of them"):
        await known.silence(FIRST)


async def test_a_fail_over_is_waited_for_and_not_done(cluster: Cluster, known: KindMembers) -> None:
    await known.lose(FIRST)
    cluster.calls.clear()
    waits = asyncio.create_task(known.fail_over(FIRST))
    await asyncio.sleep(0.05)
    assert not waits.done()
    cluster.promote(THIRD)
    assert await waits == f"{THIRD} took over"
    assert cluster.calls == []


async def test_a_switchover_is_the_playbook_s(cluster: Cluster, known: KindMembers) -> None:
    assert (await known.switch_over())["primary"] == SECOND
    assert cluster.calls == ["switchover.yml"]


async def test_a_playbook_that_fails_was_no_switchover(
    cluster: Cluster, known: KindMembers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(playbook: str) -> str:
        raise PlaybookFailed("nobody took over in 30 s")

    monkeypatch.setattr(cluster, "run", fail)
    with pytest.raises(NotPossible, match="nobody took over in 30 s"):
        await known.switch_over()


async def test_what_another_run_left_behind_is_mended_by_looking(cluster: Cluster, known: KindMembers) -> None:
    await known.lose(FIRST)
    cluster.promote(SECOND)
    made, _ = parts(cluster)
    with pytest.raises(NotPossible, match=f"{FIRST} are on no node"):
        await made.names()
    fake: Any = cluster
    await Cordons(fake).reopen_all()
    await made.mend()
    assert (await made.primary()).name == SECOND
    assert (await made.look(FIRST)).follows


async def test_a_member_that_there_is_not_is_named_with_those_that_there_are(known: KindMembers) -> None:
    for asked in (known.look, known.lose, known.pause, known.start):
        with pytest.raises(NotPossible, match=re.escape(f"member 'postgresql-2': there are {', '.join(ALL)}")):
            await asked("postgresql-2")


async def replicated(cluster: Cluster) -> ReplicatedDatabase:
    made, pods = parts(cluster)
    fake: Any = cluster
    database = ReplicatedDatabase(made, pods, fake)
    await database.learn()
    return database


async def test_whoever_is_the_primary_is_asked_and_first_the_next_time(cluster: Cluster) -> None:
    database = await replicated(cluster)
    cluster.promote(THIRD)
    assert database.sql("SELECT 1") == [{"database": "catalog"}]
    assert database.sql("SELECT 1") == [{"database": "catalog"}]
    assert cluster.asked == [FIRST, SECOND, THIRD, THIRD]


async def test_what_the_primary_refuses_nobody_else_is_asked(cluster: Cluster) -> None:
    database = await replicated(cluster)
    with pytest.raises(psycopg2.OperationalError, match="syntax error"):
        database.sql("SELEC")
    assert cluster.asked == [FIRST]


async def test_without_a_primary_the_reason_is_told(cluster: Cluster) -> None:
    database = await replicated(cluster)
    cluster.primary = "nobody"
    with pytest.raises(psycopg2.OperationalError, match="hot standby"):
        database.sql("SELECT 1")


@pytest.mark.parametrize(
    ("action", "calls"),
    [
        ("crash", [f"end {FIRST}"]),
        ("restart", [f"delete {FIRST} in order"]),
        ("pause", [f"STOP {FIRST}"]),
        ("stop", [f"STOP {FIRST}", "close worker-0", f"delete {FIRST}", f"end {FIRST}"]),
    ],
)
async def test_faults_of_the_database_are_the_primary_s_and_end_with_it_started(
    cluster: Cluster, action: Any, calls: list[str]
) -> None:
    database = await replicated(cluster)
    assert await database.node() == "worker-0"
    await database.act(action)
    assert cluster.calls == calls
    if action in ("pause", "stop"):
        cluster.promote(SECOND)
    await database.act("resume" if action == "pause" else "start")
    assert (cluster.stopped, cluster.closed) == (set(), set())
    assert database.sql("SELECT 1")


async def test_connections_can_not_be_taken_from_outside(cluster: Cluster) -> None:
    database = await replicated(cluster)
    with pytest.raises(NotPossible, match="from outside the cluster there is no address of the members"):
        database.exhaust_connections()

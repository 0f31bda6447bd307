"""Three replicas as processes that compete for a lease in the Kubernetes API, and record their state there."""

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from catalog_server.app.runtime import Runtime
from catalog_server.config import Settings
from integration.conftest import StartReplica
from support.fake_kubernetes import FakeKubernetesThread
from support.postgres import wait_until
from support.replica import ReplicaProcess

MODELS = "/api/model_catalog/v1alpha1/models"
NAME = "catalog-server"
STATE = "catalog-server-state"


@pytest.fixture
def api() -> Iterator[FakeKubernetesThread]:
    server = FakeKubernetesThread()
    yield server
    server.close()


@pytest.fixture
def replicas(
    api: FakeKubernetesThread, dsn: str, start_replica: StartReplica, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[ReplicaProcess]:
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
    settings = {"leadership_backend": "kubernetes", "state_configmap": STATE}
    started = [start_replica(name, dsn, **settings) for name in ("one", "two", "three")]
    for replica in started:
        replica.wait_until_ready()
    return started


def leader_of(replica: ReplicaProcess) -> dict[str, Any] | None:
    """The leader as this replica's API shows it."""
    status, cluster = replica.get("/api/v1/cluster")
    assert status == 200
    leader: dict[str, Any] | None = cluster["leader"]
    return leader


def leading(replicas: list[ReplicaProcess]) -> list[ReplicaProcess]:
    """Those that trust their term at this moment."""
    return [replica for replica in replicas if replica.metric("catalog_leader")]


def holder(api: FakeKubernetesThread) -> str:
    return str(api.leases.get(NAME, {}).get("spec", {}).get("holderIdentity", "")).split("/")[0]


def test_one_replica_leads_and_another_follows_with_a_higher_epoch_when_it_is_killed(
    api: FakeKubernetesThread, replicas: list[ReplicaProcess]
) -> None:
    first = wait_until(lambda: leader_of(replicas[0]), what="a first leader")
    (killed,) = [replica for replica in replicas if replica.name == first["replica"]]
    assert holder(api) == killed.name
    wait_until(lambda: leading(replicas) == [killed], what="one leader's trust")
    killed.kill()
    rest = [replica for replica in replicas if replica is not killed]
    wait_until(lambda: leading(rest), what="a successor")
    second = wait_until(
        lambda: (leader := leader_of(rest[0])) and leader["replica"] != killed.name and leader, what="its term"
    )
    assert second["epoch"] > first["epoch"]
    assert holder(api) == second["replica"]
    assert api.leases[NAME]["metadata"]["annotations"]["catalog-server/epoch"] == str(second["epoch"])
    assert api.leases[NAME]["spec"]["leaseTransitions"] == 1


def test_without_the_api_server_nobody_leads_and_requests_go_on(
    api: FakeKubernetesThread, replicas: list[ReplicaProcess]
) -> None:
    first = wait_until(lambda: leader_of(replicas[0]), what="a first leader")
    wait_until(lambda: replicas[0].get(MODELS)[1]["size"] > 0, what="the first refresh")
    api.freeze()

    def nobody_leads() -> bool:
        assert [replica.get(MODELS)[0] for replica in replicas] == [200, 200, 200]
        assert all(replica.is_ready() for replica in replicas)
        return not leading(replicas)

    wait_until(nobody_leads, what="the end of the term")
    # Longer than the lease: every other replica has asked in vain several times since.
    asked = len(api.requests)
    wait_until(lambda: nobody_leads() and len(api.requests) >= asked + 15, what="attempts without an answer")
    assert nobody_leads()
    api.thaw()
    wait_until(lambda: len(leading(replicas)) == 1, what="a leader again")
    second = wait_until(
        lambda: (leader := leader_of(replicas[0])) and leader["epoch"] != first["epoch"] and leader, what="its term"
    )
    assert second["epoch"] > first["epoch"]


def test_replicas_that_stop_in_order_release_the_lease(
    api: FakeKubernetesThread, replicas: list[ReplicaProcess]
) -> None:
    wait_until(lambda: holder(api), what="a first leader")
    assert [replica.stop() for replica in replicas] == [0, 0, 0]
    assert holder(api) == ""


def recorded(api: FakeKubernetesThread) -> tuple[str, int]:
    """Phase and epoch as the ConfigMap tells them; ("", 0) where there is none."""
    data = api.configmaps.get(STATE, {}).get("data", {})
    return data.get("phase", ""), int(data.get("epoch", 0))


def is_operational(api: FakeKubernetesThread, replica: ReplicaProcess) -> bool:
    """Under the leader that this replica's API shows."""
    leader = leader_of(replica)
    return leader is not None and recorded(api) == ("OPERATIONAL", leader["epoch"])


def kill_the_leader(replicas: list[ReplicaProcess]) -> list[ReplicaProcess]:
    """Returns the others, once one of them leads."""
    (leader,) = wait_until(lambda: leading(replicas), what="a leader")
    leader.kill()
    rest = [replica for replica in replicas if replica is not leader]
    wait_until(lambda: leading(rest), what="a successor")
    return rest


def test_the_state_goes_through_bootstrap_once_and_every_later_leader_goes_on_in_operation(
    api: FakeKubernetesThread, replicas: list[ReplicaProcess]
) -> None:
    wait_until(lambda: is_operational(api, replicas[0]), what="operation")
    assert replicas[0].get(MODELS)[1]["size"] > 0
    rest = kill_the_leader(replicas)
    wait_until(lambda: is_operational(api, rest[0]), what="operation under the successor")
    told = [request.body["data"] for request in api.asked("configmaps", "POST", "PUT") if request.body]
    assert [state["phase"] for state in told if state["epoch"] == told[0]["epoch"]] == ["BOOTSTRAP", "OPERATIONAL"]
    assert {state["phase"] for state in told if state["epoch"] != told[0]["epoch"]} == {"OPERATIONAL"}
    epochs = [int(state["epoch"]) for state in told]
    assert epochs == sorted(epochs)


def test_a_state_that_is_deleted_while_its_leader_is_killed_is_bootstrapped_again_without_harm(
    api: FakeKubernetesThread, replicas: list[ReplicaProcess]
) -> None:
    wait_until(lambda: is_operational(api, replicas[0]), what="operation")
    models = replicas[0].get(MODELS)[1]
    api.delete(STATE, "configmaps")
    wait_until(lambda: is_operational(api, replicas[0]), what="operation again, by the same leader")
    (leader,) = leading(replicas)
    leader.process.send_signal(signal.SIGSTOP)  # so that it does not make it again
    api.delete(STATE, "configmaps")
    rest = [replica for replica in replicas if replica is not leader]
    wait_until(lambda: leading(rest), what="a successor")
    leader.kill()
    wait_until(lambda: is_operational(api, rest[0]), what="operation under the successor")
    assert rest[0].get(MODELS)[1] == models
    assert api.asked("configmaps", "POST")[-1].body["data"]["phase"] == "BOOTSTRAP"  # type: ignore[index]


@pytest.mark.parametrize("is_refused", [True, False], ids=["refused", "no answer"])
def test_a_state_that_can_not_be_recorded_costs_neither_the_lease_nor_readiness(
    api: FakeKubernetesThread, replicas: list[ReplicaProcess], is_refused: bool
) -> None:
    wait_until(lambda: is_operational(api, replicas[0]), what="operation")
    before, (leader,) = recorded(api), leading(replicas)
    api.forbidden = {"configmaps"} if is_refused else set()
    if not is_refused:
        api.freeze("configmaps")
    api.delete(STATE, "configmaps")
    asked = len(api.asked("configmaps"))
    renewed = len(api.asked("leases", "PUT"))

    def goes_on() -> bool:
        assert all(replica.is_ready() for replica in replicas)
        assert leading(replicas) == [leader]
        return len(api.asked("leases", "PUT")) >= renewed + 12 and len(api.asked("configmaps")) >= asked + 2

    wait_until(goes_on, seconds=60, what="renewals for longer than the lease, and attempts in vain")
    told = [line for line in leader.logged() if "can not be recorded" in line["message"]]
    assert len(told) == 1
    api.thaw()
    api.forbidden = set()
    wait_until(lambda: recorded(api) == before, what="the record again")


async def test_a_stopped_runtime_leaves_no_connection_to_the_api_server_open(
    api: FakeKubernetesThread, sqlite_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after SIGHUP, when the process lives on with another runtime."""
    monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
    settings = Settings(database_dsn=SecretStr(sqlite_dsn), leadership_backend="kubernetes", state_configmap=STATE)
    runtime = Runtime(settings, "http://here")
    runtime.start()
    await asyncio.to_thread(wait_until, lambda: recorded(api)[1], what="a leader that recorded its state")
    assert api.open_connections
    await runtime.stop()
    assert runtime.lease is not None  # not collected yet, so whatever is closed now was closed on purpose
    await asyncio.to_thread(wait_until, lambda: not api.open_connections, seconds=10, what="the end of its connections")

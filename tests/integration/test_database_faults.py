"""Three replicas when their database is terminated, restarted, frozen or cut off: they say so, the leader's
loops stop in time, and all recover by themselves."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from catalog_server.migrations import upgrade_to_head
from integration.conftest import StartReplica
from support.haproxy import TcpProxy
from support.postgres import PostgresServer, wait_until
from support.replica import QUICK, ReplicaProcess

MODELS = "/api/model_catalog/v1alpha1/models"
LEASE_SECONDS = float(QUICK["CATALOG_LEADERSHIP_LEASE_SECONDS"])


@pytest.fixture(scope="module")
def own_postgres(own_postgres: PostgresServer) -> PostgresServer:
    upgrade_to_head(own_postgres.dsn())
    return own_postgres


@pytest.fixture
def proxy(own_postgres: PostgresServer) -> Iterator[TcpProxy]:
    proxy = TcpProxy(own_postgres.port)
    yield proxy
    own_postgres.resume()
    proxy.stop()


@pytest.fixture
def replicas(own_postgres: PostgresServer, proxy: TcpProxy, start_replica: StartReplica) -> list[ReplicaProcess]:
    """Three ready replicas behind the proxy, one of them leader, at work on jobs."""
    dsn = own_postgres.dsn(port=proxy.port)
    started = [start_replica(f"replica-{number}", dsn, refresh_interval_seconds="0.5") for number in (1, 2, 3)]
    for replica in started:
        replica.wait_until_ready()
    wait_until(lambda: leaders(started), what="a leader")
    return started


def leaders(replicas: list[ReplicaProcess]) -> list[ReplicaProcess]:
    return [replica for replica in replicas if replica.metric("catalog_leader") == 1]


def completed(own_postgres: PostgresServer) -> int:
    return int(own_postgres.execute("SELECT count(*) FROM job_attempts WHERE outcome = 'completed'")[0][0])  # type: ignore[call-overload]


def expect_recovery(own_postgres: PostgresServer, replicas: list[ReplicaProcess]) -> None:
    """All ready, exactly one leader, and jobs go on."""
    for replica in replicas:
        replica.wait_until_ready()
    wait_until(lambda: len(leaders(replicas)) == 1, what="one leader")
    before = completed(own_postgres)
    wait_until(lambda: completed(own_postgres) > before, what="a job completed after the fault")
    assert own_postgres.execute("SELECT count(*) FROM leadership_terms WHERE ended_at < started_at") == [(0,)]


def expect_unready(replica: ReplicaProcess) -> None:
    """/readyz blames the database, and is answered at all."""
    status, body = replica.get("/readyz")
    assert status == 503
    assert not body["checks"]["database"]["ok"]
    assert body["checks"]["database"]["reason"]
    assert replica.get("/healthz")[0] == 200


def test_replicas_recover_from_terminated_backends(
    own_postgres: PostgresServer, replicas: list[ReplicaProcess]
) -> None:
    for _ in range(5):
        own_postgres.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND application_name LIKE 'catalog-server/%'"
        )
        assert all(replica.get("/healthz")[0] == 200 for replica in replicas)
    expect_recovery(own_postgres, replicas)


def test_replicas_recover_from_a_crash_of_the_database(
    own_postgres: PostgresServer, replicas: list[ReplicaProcess]
) -> None:
    own_postgres.restart("immediate")
    expect_recovery(own_postgres, replicas)


def test_replicas_recover_from_a_cut_connection(
    own_postgres: PostgresServer, proxy: TcpProxy, replicas: list[ReplicaProcess]
) -> None:
    proxy.refuse()
    for replica in replicas:
        wait_until(lambda replica=replica: not replica.is_ready(), what="unreadiness")
        expect_unready(replica)
    proxy.accept()
    expect_recovery(own_postgres, replicas)


def test_a_frozen_database_stops_the_leader_within_its_lease_and_everyone_recovers(
    own_postgres: PostgresServer, replicas: list[ReplicaProcess]
) -> None:
    (leader,) = leaders(replicas)
    frozen_at = datetime.now(UTC)
    own_postgres.pause()
    for replica in replicas:
        wait_until(lambda replica=replica: not replica.is_ready(), what="unreadiness")
        expect_unready(replica)
        # The call ends at its client-side deadline with an answer; nothing hangs.
        assert replica.get(MODELS, seconds=20)[0] == 503
    ended_at = wait_until(lambda: end_of_term(leader), what="the end of the term")
    # Not a matter of speed: the lease was last renewed before the freeze, so others may take it from now on.
    assert ended_at - frozen_at < timedelta(seconds=LEASE_SECONDS)
    own_postgres.resume()
    expect_recovery(own_postgres, replicas)


def end_of_term(replica: ReplicaProcess) -> datetime | None:
    """When the replica logged that its loops had ended."""
    ended = [line for line in replica.logged() if line["message"].startswith("the term ended")]
    return datetime.fromisoformat(ended[-1]["time"]) if ended else None

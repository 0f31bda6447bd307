"""The leader's record of the state in a ConfigMap: its rounds against an API server that really compares and swaps."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from catalog_server import __version__
from catalog_server.catalog import store
from catalog_server.catalog.reader import Validators
from catalog_server.catalog.store import Outcome
from catalog_server.config import Settings
from catalog_server.db import Database
from catalog_server.jobs import Queue
from catalog_server.kubernetes import Recorded, State
from catalog_server.kubernetes.state_configmap import StateConfigMap
from catalog_server.leadership import Fence, Fenced, Term
from catalog_server.migrations import server_head
from catalog_server.observability import metrics
from catalog_server.singletons import run_loops
from catalog_server.singletons.loop import RoundFailed
from catalog_server.singletons.record_state import RecordState
from catalog_server.singletons.watch_sources import WatchSources
from support.fake_kubernetes import FakeKubernetes

NAME = "catalog-server-state"
FENCE = Fence("test")


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeKubernetes]:
    server = FakeKubernetes()
    await server.start()
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    yield server
    await server.stop()


@pytest.fixture
async def configmap(api: FakeKubernetes) -> AsyncIterator[StateConfigMap]:
    found = StateConfigMap(NAME, call_seconds=0.5)
    yield found
    await found.close()


class PausedBeforeWriting(StateConfigMap):
    """As in a process that is stopped right before its write reaches the API, until it is woken."""

    def __init__(self) -> None:
        super().__init__(NAME)
        self.reached = asyncio.Event()
        self.woken = asyncio.Event()

    async def write(self, state: State, expected: Recorded) -> None:
        self.reached.set()
        await self.woken.wait()
        await super().write(state, expected)


class Leader:
    """A term of its own, and the loops that it would run, round by round."""

    def __init__(self, database: Database, settings: Settings, configmap: StateConfigMap, epoch: int) -> None:
        self.term = Term(epoch, f"holder-{epoch}")
        self.sources = WatchSources(database, FENCE, Queue(), settings)
        self.state = RecordState(database, FENCE, configmap, self.sources)

    async def reconcile(self) -> None:
        await self.sources.tick(self.term)

    async def record(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            await self.state.tick(self.term)


class Catalog:
    """The database of the test, and the leaders that follow each other on it."""

    def __init__(self, database: Database, settings: Settings, configmap: StateConfigMap) -> None:
        self.database = database
        self.settings = settings
        self.configmap = configmap

    async def lead(self, epoch: int, configmap: StateConfigMap | None = None) -> Leader:
        """Begins a term, which ends all earlier ones."""
        assert await self.database.transaction(lambda session: FENCE.raise_to(session, epoch, f"holder-{epoch}"))
        return Leader(self.database, self.settings, configmap or self.configmap, epoch)

    async def read_source(self, status: str = store.AVAILABLE) -> None:
        """What the refresh of the one source leaves."""
        outcome = Outcome(status, None, "revision", Validators())
        await self.database.transaction(lambda session: store.record(session, "sample", outcome))

    async def operate(self, epoch: int = 1) -> Leader:
        """A leader that has come to OPERATIONAL."""
        leader = await self.lead(epoch)
        await leader.reconcile()
        await self.read_source()
        await leader.record(2)
        return leader


@pytest.fixture
def catalog(any_database: Database, any_dsn: str, sources_file: Path, configmap: StateConfigMap) -> Catalog:
    return Catalog(any_database, Settings(database_dsn=any_dsn, sources_file=sources_file), configmap)


def data(api: FakeKubernetes) -> dict[str, str]:
    return dict(api.configmaps[NAME]["data"])


def told(api: FakeKubernetes) -> tuple[str, int]:
    return data(api)["phase"], int(data(api)["epoch"])


def failed_rounds() -> float:
    return metrics.SINGLETON_TICKS.labels("record_state", "failed")._value.get()


# Bootstrap


async def test_without_a_configmap_the_leader_bootstraps_and_then_is_operational(
    api: FakeKubernetes, catalog: Catalog
) -> None:
    leader = await catalog.lead(3)
    await leader.record()
    assert told(api) == ("BOOTSTRAP", 3)
    await leader.record()
    assert told(api) == ("BOOTSTRAP", 3), "its sources were not reconciled"
    await leader.reconcile()
    await leader.record(2)
    assert told(api) == ("BOOTSTRAP", 3), "its source was not read"
    await catalog.read_source()
    await leader.record(2)
    assert told(api) == ("OPERATIONAL", 3)
    assert data(api)["schemaVersion"] == str(server_head())
    assert data(api)["serverVersion"] == __version__
    assert api.configmaps[NAME]["kind"] == "ConfigMap"


async def test_bootstrap_is_told_before_operational_even_if_there_is_nothing_left_to_do(
    api: FakeKubernetes, catalog: Catalog
) -> None:
    leader = await catalog.lead(1)
    await leader.reconcile()
    await catalog.read_source()
    await leader.record(3)
    bodies = [request.body for request in api.asked("configmaps", "POST", "PUT")]
    assert [body["data"]["phase"] for body in bodies if body] == ["BOOTSTRAP", "OPERATIONAL"]


async def test_a_source_that_can_not_be_read_does_not_keep_the_catalog_in_bootstrap(
    api: FakeKubernetes, catalog: Catalog
) -> None:
    leader = await catalog.lead(1)
    await leader.reconcile()
    await catalog.read_source(store.ERROR)
    await leader.record(2)
    assert told(api) == ("OPERATIONAL", 1)


async def test_a_sources_file_that_can_not_be_used_keeps_the_catalog_in_bootstrap(
    api: FakeKubernetes, catalog: Catalog, sources_file: Path
) -> None:
    usable = sources_file.read_text()
    sources_file.write_text("catalogs: [{id: broken")
    leader = await catalog.lead(1)
    await leader.reconcile()
    await leader.record(3)
    assert told(api) == ("BOOTSTRAP", 1)
    sources_file.write_text(usable)
    await leader.reconcile()
    await catalog.read_source()
    await leader.record(2)
    assert told(api) == ("OPERATIONAL", 1)


async def test_without_a_sources_file_there_is_nothing_to_reconcile(api: FakeKubernetes, catalog: Catalog) -> None:
    leader = await catalog.lead(1)
    leader.state = RecordState(catalog.database, FENCE, catalog.configmap, None)
    await leader.record(2)
    assert told(api) == ("OPERATIONAL", 1)


# What follows


async def test_a_new_leader_goes_on_in_operation_under_its_own_epoch(api: FakeKubernetes, catalog: Catalog) -> None:
    await catalog.operate(1)
    successor = await catalog.lead(2)
    await successor.record()
    assert told(api) == ("OPERATIONAL", 2)


async def test_a_new_leader_goes_on_with_the_bootstrap_of_its_predecessor(
    api: FakeKubernetes, catalog: Catalog
) -> None:
    await (await catalog.lead(1)).record()
    successor = await catalog.lead(2)
    await successor.record()
    assert told(api) == ("BOOTSTRAP", 2)
    await successor.reconcile()
    await catalog.read_source()
    await successor.record(2)
    assert told(api) == ("OPERATIONAL", 2)


async def test_a_configmap_that_is_deleted_in_operation_is_made_again_in_operation(
    api: FakeKubernetes, catalog: Catalog
) -> None:
    leader = await catalog.operate()
    api.delete(NAME, "configmaps")
    await leader.record()
    assert told(api) == ("OPERATIONAL", 1)


async def test_a_configmap_that_was_deleted_with_its_leader_is_bootstrapped_anew_and_nothing_is_read_or_lost(
    api: FakeKubernetes, catalog: Catalog
) -> None:
    async def jobs() -> int:
        return int(await catalog.database.run(lambda session: session.scalar("SELECT count(*) FROM jobs")))

    await catalog.operate(1)
    before = await jobs()
    api.delete(NAME, "configmaps")
    successor = await catalog.lead(2)
    await successor.reconcile()
    await successor.record()
    assert told(api) == ("BOOTSTRAP", 2)
    await successor.record()
    assert told(api) == ("OPERATIONAL", 2)
    assert await jobs() == before


async def test_a_state_that_is_told_already_is_not_written_again(api: FakeKubernetes, catalog: Catalog) -> None:
    leader = await catalog.operate()
    written = data(api)
    writes = len(api.asked("configmaps", "POST", "PUT"))
    await leader.record(3)
    assert len(api.asked("configmaps", "POST", "PUT")) == writes
    assert data(api) == written


async def test_what_others_put_into_the_configmap_is_kept(api: FakeKubernetes, catalog: Catalog) -> None:
    api.put(NAME, "configmaps", metadata={"labels": {"app": "catalog"}}, data={"note": "for people"})
    await catalog.operate()
    assert api.configmaps[NAME]["metadata"]["labels"] == {"app": "catalog"}
    assert data(api)["note"] == "for people"
    assert told(api) == ("OPERATIONAL", 1)


# Changed by hand


@pytest.mark.parametrize(
    ("key", "value"), [("phase", "RUNNING"), ("epoch", "many"), ("schemaVersion", ""), ("timestamp", "now")]
)
async def test_a_malformed_state_is_told_and_repaired(
    api: FakeKubernetes, catalog: Catalog, caplog: pytest.LogCaptureFixture, key: str, value: str
) -> None:
    leader = await catalog.operate()
    good = data(api) | {"timestamp": ""}
    api.put(NAME, "configmaps", data={key: value})
    await leader.record(3)
    assert data(api) | {"timestamp": ""} == good
    (told_once,) = [message for message in caplog.messages if "malformed" in message]
    assert f"{key} = {value!r}" in told_once


async def test_a_new_leader_that_finds_a_malformed_state_bootstraps(api: FakeKubernetes, catalog: Catalog) -> None:
    await catalog.operate(1)
    api.put(NAME, "configmaps", data={"phase": "RUNNING"})
    successor = await catalog.lead(2)
    await successor.reconcile()
    await successor.record()
    assert told(api) == ("BOOTSTRAP", 2)
    await successor.record()
    assert told(api) == ("OPERATIONAL", 2)


@pytest.mark.parametrize("edit", [{"phase": "BOOTSTRAP"}, {"epoch": "1"}, {"serverVersion": "0.0.1"}])
async def test_a_state_that_was_edited_into_another_is_put_right(
    api: FakeKubernetes, catalog: Catalog, edit: dict[str, str]
) -> None:
    leader = await catalog.operate(2)
    good = data(api) | {"timestamp": ""}
    api.put(NAME, "configmaps", data=edit)
    await leader.record()
    assert data(api) | {"timestamp": ""} == good


# Epochs


async def test_a_state_of_a_later_epoch_is_left_alone_and_told_with_the_remedy(
    api: FakeKubernetes, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    leader = await catalog.operate(2)
    api.put(NAME, "configmaps", data={"epoch": "40"})
    left = data(api)
    for _ in range(3):
        with pytest.raises(RoundFailed, match=r"epoch 40, later than this leader's 2.* delete it"):
            await leader.record()
    assert data(api) == left
    assert len([message for message in caplog.messages if "epoch 40" in message]) == 1
    api.delete(NAME, "configmaps")
    await leader.record()
    assert told(api) == ("OPERATIONAL", 2)


async def test_a_leader_that_was_succeeded_is_fenced_and_writes_nothing(api: FakeKubernetes, catalog: Catalog) -> None:
    leader = await catalog.operate(1)
    api.delete(NAME, "configmaps")
    await catalog.lead(2)
    with pytest.raises(Fenced):
        await leader.record()
    assert not api.configmaps


@pytest.mark.parametrize("is_recorded", [True, False])
async def test_a_leader_paused_right_before_its_write_changes_nothing_when_it_wakes_after_its_successors(
    api: FakeKubernetes, catalog: Catalog, is_recorded: bool
) -> None:
    if is_recorded:
        await catalog.operate(1)
    paused = PausedBeforeWriting()
    try:
        stale = await catalog.lead(2, paused)
        late = asyncio.create_task(stale.record())
        async with asyncio.timeout(10):
            await paused.reached.wait()
        await (await catalog.lead(3)).record()
        written = data(api)
        assert written["epoch"] == "3"
        paused.woken.set()
        await late
        assert data(api) == written
        with pytest.raises(Fenced):
            await stale.record()
    finally:
        await paused.close()


# The API away or refusing


@pytest.mark.parametrize(
    ("resource_frozen", "resource_forbidden", "words"),
    [
        (True, False, "did not answer within"),
        (False, True, "get, create and update on the resource configmaps in the core API group in namespace models"),
    ],
)
async def test_an_api_that_is_away_or_refuses_is_told_once_and_costs_the_round_only(
    api: FakeKubernetes,
    catalog: Catalog,
    caplog: pytest.LogCaptureFixture,
    resource_frozen: bool,
    resource_forbidden: bool,
    words: str,
) -> None:
    leader = await catalog.operate()
    api.delete(NAME, "configmaps")
    if resource_frozen:
        api.freeze("configmaps")
    if resource_forbidden:
        api.forbidden = {"configmaps"}
    for _ in range(3):
        with pytest.raises(RoundFailed):
            await leader.record()
    assert len([message for message in caplog.messages if words in message]) == 1
    api.thaw()
    api.forbidden = set()
    await leader.record()
    assert told(api) == ("OPERATIONAL", 1)
    api.forbidden = {"configmaps"}
    with pytest.raises(RoundFailed):
        await leader.record()
    assert len([message for message in caplog.messages if "get, create and update" in message]) == 1 + (
        not resource_frozen
    ), "mended in between, it is told again"


async def test_a_refused_round_is_counted_and_ends_neither_the_term_nor_another_loop(
    api: FakeKubernetes, catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    api.forbidden = {"configmaps"}
    leader = await catalog.lead(1)
    leader.state.interval_seconds = 0.01  # type: ignore[misc]
    before = failed_rounds()
    running = asyncio.create_task(run_loops([leader.state, leader.sources], leader.term))
    async with asyncio.timeout(30):
        while failed_rounds() < before + 3 or not leader.sources.has_reconciled:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert not running.done()
    assert len([message for message in caplog.messages if "can not be recorded" in message]) == 1
    assert "a round failed" not in caplog.text
    running.cancel()


async def test_a_write_whose_answer_was_lost_is_found_by_the_next_round(api: FakeKubernetes, catalog: Catalog) -> None:
    leader = await catalog.lead(1)
    api.lose_answers(1)
    with pytest.raises(RoundFailed):
        await leader.record()
    assert told(api) == ("BOOTSTRAP", 1)
    await leader.reconcile()
    await catalog.read_source()
    await leader.record(2)
    assert told(api) == ("OPERATIONAL", 1)
    assert len(api.asked("configmaps", "POST")) == 1

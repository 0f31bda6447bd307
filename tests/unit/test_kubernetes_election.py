"""Real electors over the Kubernetes backend, with the fence in a real database."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest

from catalog_server.db import Database
from catalog_server.leadership import Election, Elector, Fence, Term, Timing
from catalog_server.leadership.kubernetes_lease import EPOCH_ANNOTATION, KubernetesLease
from support.fake_kubernetes import FakeKubernetes

NAME = "catalog-server"
# The API counts whole seconds, so a lease is no shorter than one. A call has the retry period / 2 = 0.15 s.
TIMING = Timing(lease_seconds=2.0, renew_deadline_seconds=1.4, retry_seconds=0.4)  # a busy machine is slow at times
UNHURRIED = Timing(lease_seconds=60.0, renew_deadline_seconds=40.0, retry_seconds=20.0)


class Candidates:
    """Three electors, and every term that their loops saw begin and end, in order."""

    def __init__(self, database: Database, timing: Timing) -> None:
        self.terms: list[Term] = []
        self.acting: set[Term] = set()
        self.most_trusting = 0
        self.backends = [KubernetesLease(NAME) for _ in range(3)]
        self.electors = [
            Elector(
                backend=backend,
                epochs=Election(Fence(NAME), database),
                identity=f"replica-{number}",
                timing=timing,
                lead=self._lead,
            )
            for number, backend in enumerate(self.backends)
        ]
        self.runs: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.runs = [asyncio.create_task(elector.run()) for elector in self.electors]

    async def _lead(self, term: Term) -> None:
        self.terms.append(term)
        self.acting.add(term)
        self.most_trusting = max(self.most_trusting, len(self.trusting()))
        try:
            await asyncio.Event().wait()
        finally:
            self.acting.discard(term)

    def trusting(self) -> list[Elector]:
        return [elector for elector in self.electors if elector.term is not None]

    def leader(self) -> Elector | None:
        """Of those that trust their term, the one with the newest: more than one only after a deletion by hand."""
        return max(self.trusting(), key=lambda elector: elector.term.epoch if elector.term else 0, default=None)

    def leads_term(self, number: int) -> bool:
        """The number counts the terms from 1."""
        return len(self.terms) == number and (leader := self.leader()) is not None and leader.term == self.terms[-1]

    async def close(self) -> None:
        if not self.runs:
            self.start()  # an elector stops by ending its run
        for elector in self.electors:
            await elector.stop()
        await asyncio.gather(*self.runs)
        for backend in self.backends:
            await backend.close()


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeKubernetes]:
    server = FakeKubernetes()
    await server.start()
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig(tmp_path / "kubeconfig")))
    yield server
    await server.stop()


@pytest.fixture
async def database(sqlite_dsn: str) -> AsyncIterator[Database]:
    pool = Database(sqlite_dsn, purpose="election", size=1, deadline_seconds=5, connect_timeout_seconds=5)
    yield pool
    await asyncio.to_thread(pool.close)


@pytest.fixture
async def idle_candidates(api: FakeKubernetes, database: Database) -> AsyncIterator[Candidates]:
    """For tests that make the attempts themselves, and so need no hurry."""
    competing = Candidates(database, UNHURRIED)
    yield competing
    await competing.close()


@pytest.fixture
async def candidates(api: FakeKubernetes, database: Database) -> AsyncIterator[Candidates]:
    competing = Candidates(database, TIMING)
    competing.start()
    yield competing
    await competing.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    try:
        async with asyncio.timeout(10):
            while not condition():  # noqa: ASYNC110  # the events are those of several parts
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"{what} did not happen") from None


def in_order(terms: list[Term]) -> bool:
    epochs = [term.epoch for term in terms]
    return epochs == sorted(set(epochs))


def renewals(api: FakeKubernetes) -> int:
    return sum(request.method == "PUT" for request in api.requests)


@pytest.mark.parametrize("lease_exists", [False, True])
async def test_of_three_who_saw_the_same_free_lease_one_leads(
    api: FakeKubernetes, idle_candidates: Candidates, lease_exists: bool
) -> None:
    if lease_exists:
        api.put(NAME, metadata={"annotations": {EPOCH_ANNOTATION: "5"}}, spec={"leaseDurationSeconds": 1})
    api.answer_reads_together(3)
    await asyncio.gather(*(elector.attempt() for elector in idle_candidates.electors))
    writes = [request for request in api.requests if request.method != "GET"]
    assert len(writes) == 3, "they did not race"
    assert len(idle_candidates.trusting()) == 1
    assert idle_candidates.most_trusting == 1


async def test_one_of_three_leads_and_keeps_the_lease_by_renewing_it(
    api: FakeKubernetes, candidates: Candidates
) -> None:
    await until(lambda: candidates.leader() is not None, "a first term")
    await until(lambda: renewals(api) >= 5, "five renewals")
    assert len(candidates.terms) == 1
    metadata, spec = api.leases[NAME]["metadata"], api.leases[NAME]["spec"]
    assert metadata["annotations"][EPOCH_ANNOTATION] == str(candidates.terms[0].epoch)
    assert spec["holderIdentity"] == candidates.terms[0].holder
    assert spec["leaseTransitions"] == 0


async def test_a_leader_that_stops_hands_over_at_once(api: FakeKubernetes, candidates: Candidates) -> None:
    for count in (1, 2):
        await until(partial(candidates.leads_term, count), "a term")
        leader = candidates.leader()
        assert leader is not None
        seen = len(api.requests)
        await leader.stop()
        bodies = [request.body for request in api.requests[seen:] if request.body]
        assert any(not body["spec"].get("holderIdentity") for body in bodies), "it was not released"
    await until(lambda: len(candidates.terms) == 3, "the last one's term")
    assert in_order(candidates.terms)
    assert candidates.most_trusting == 1
    assert api.leases[NAME]["spec"]["leaseTransitions"] == 2


async def test_a_lease_deleted_by_hand_again_and_again_keeps_epochs_growing(
    api: FakeKubernetes, candidates: Candidates
) -> None:
    for count in range(1, 5):
        await until(partial(candidates.leads_term, count), "a term")
        api.delete(NAME)
    await until(lambda: len(candidates.terms) == 5, "the last term")
    assert in_order(candidates.terms)
    assert api.leases[NAME]["metadata"]["annotations"][EPOCH_ANNOTATION] == str(candidates.terms[-1].epoch)


async def test_an_epoch_annotation_removed_or_mangled_keeps_epochs_growing(
    api: FakeKubernetes, candidates: Candidates
) -> None:
    for count, annotations in enumerate([{}, {EPOCH_ANNOTATION: "many"}, {EPOCH_ANNOTATION: "0"}], start=1):
        await until(partial(candidates.leads_term, count), "a term")
        api.put(NAME, metadata={"annotations": annotations})
    await until(lambda: len(candidates.terms) == 4, "the last term")
    assert in_order(candidates.terms)


async def test_the_next_epoch_is_above_the_one_in_the_lease(api: FakeKubernetes, candidates: Candidates) -> None:
    """A winner may have been paused, or died, before it raised the database's epoch to the lease's."""
    await until(lambda: candidates.leader() is not None, "a first term")
    released = {"holderIdentity": "", "leaseDurationSeconds": 1}
    api.put(NAME, metadata={"annotations": {EPOCH_ANNOTATION: "40"}}, spec=released)
    await until(lambda: len(candidates.terms) == 2, "a second term")
    assert candidates.terms[1].epoch == 41


async def test_a_frozen_api_server_ends_the_term_before_the_lease_and_a_thawed_one_lets_a_new_one_begin(
    api: FakeKubernetes, candidates: Candidates
) -> None:
    await until(lambda: candidates.leader() is not None, "a first term")
    api.freeze()
    await until(lambda: candidates.leader() is None and not candidates.acting, "the end of the term")
    assert len(candidates.terms) == 1
    api.thaw()
    await until(lambda: candidates.leader() is not None, "a new term")
    assert in_order(candidates.terms)
    assert candidates.most_trusting == 1


async def test_lost_answers_never_make_two_leaders(api: FakeKubernetes, candidates: Candidates) -> None:
    api.lose_answers(3)
    await until(lambda: candidates.leader() is not None, "a first term")
    api.lose_answers(2)
    await until(lambda: not api.answers_to_lose, "lost answers")
    await until(lambda: candidates.leader() is not None, "a term")
    assert in_order(candidates.terms)
    assert candidates.most_trusting == 1


async def test_candidates_that_are_forbidden_try_again_and_lead_once_they_may(
    api: FakeKubernetes, candidates: Candidates, caplog: pytest.LogCaptureFixture
) -> None:
    api.forbidden = {"leases"}
    await until(lambda: "Grant the verbs get, create and update" in caplog.text, "the log's word")
    api.forbidden = set()
    await until(lambda: candidates.leader() is not None, "a term")

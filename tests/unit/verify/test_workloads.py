"""Clients against a real server on loopback: what they record, and when they send."""

import asyncio
import itertools
import json
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from ha_verify.history import Recorder
from ha_verify.workloads import Answer, Client, Reads, Request, Writes, offer, read_back, writes
from ha_verify.workloads.client import outcome_of
from ha_verify.workloads.observer import parse_ticks
from ha_verify.workloads.refresh import catalog

Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
READ = Request(f="read", value={"path": "/"}, path="/", told=lambda answer: {"status": answer.status})
WRITE = Request(f="write", value={"value": "a"}, path="/", told=lambda answer: answer.document["id"], method="POST")


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a server that answers every request with the given handler; returns its address."""
    runners = []

    async def start(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> str:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        runners.append(runner)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        return f"http://{host}:{port}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path / "history.jsonl")


@pytest.mark.parametrize(
    ("method", "status", "document", "outcome"),
    [
        ("GET", 200, {}, "ok"),
        ("GET", 404, {}, "ok"),
        ("GET", 401, {}, "fail"),
        ("GET", 503, {}, "fail"),
        ("POST", 202, {}, "ok"),
        ("POST", 400, {}, "fail"),
        ("POST", 409, {}, "info"),
        ("POST", 500, {}, "info"),
        ("POST", 502, None, "info"),
        ("POST", 503, {"message": "the database is unavailable"}, "info"),
        ("POST", 503, None, "fail"),
        ("POST", 504, None, "info"),
    ],
)
def test_an_answer_tells_what_became_of_the_request(method: str, status: int, document: object, outcome: str) -> None:
    request = READ if method == "GET" else WRITE
    assert outcome_of(request, Answer(status, document, {})) == outcome


async def test_a_served_request_is_an_invocation_and_an_ok(serve: Serve, recorder: Recorder) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"id": "7"}, status=202)

    async with Client(recorder, await serve(answer), "secret") as client:
        await client.perform(WRITE, intended_ns=5)

    (write,) = recorder.history().operations("write")
    assert write.invoke.value == {"value": "a", "intended_ns": 5}
    assert write.completion is not None
    assert (write.outcome, write.completion.value) == ("ok", "7")


async def test_the_token_is_sent(serve: Serve, recorder: Recorder) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"id": request.headers["Authorization"]}, status=202)

    async with Client(recorder, await serve(answer), "secret") as client:
        assert (await client.perform(WRITE)).value == "Bearer secret"


async def test_a_write_whose_connection_was_refused_has_failed(recorder: Recorder) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        async with Client(recorder, f"http://127.0.0.1:{closed.getsockname()[1]}", None) as client:
            completion = await client.perform(WRITE)

    assert completion.type == "fail"
    assert completion.error is not None
    assert completion.error.startswith("not connected")


async def test_a_write_whose_answer_was_lost_is_unknown_and_a_read_has_failed(serve: Serve, recorder: Recorder) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with Client(recorder, await serve(hang_up), None) as client:
        assert (await client.perform(WRITE)).type == "info"
        assert (await client.perform(READ)).type == "fail"


async def test_a_write_that_is_not_answered_in_time_is_unknown(serve: Serve, recorder: Recorder) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(60)
        return web.Response()

    async with Client(recorder, await serve(hang), None, deadline_seconds=0.1) as client:
        assert (await client.perform(WRITE)).type == "info"
        assert (await client.perform(READ)).type == "fail"


async def test_an_answer_that_makes_no_sense_leaves_a_write_unknown(serve: Serve, recorder: Recorder) -> None:
    async def garble(_: web.Request) -> web.Response:
        return web.Response(status=202, text="{", content_type="application/json")

    async with Client(recorder, await serve(garble), None) as client:
        assert (await client.perform(WRITE)).type == "info"


async def test_a_process_is_used_again_unless_its_operation_is_unknown(serve: Serve, recorder: Recorder) -> None:
    statuses = iter([202, 500, 202, 400, 202])

    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"id": "7"}, status=next(statuses))

    async with Client(recorder, await serve(answer), None) as client:
        completions = [await client.perform(WRITE) for _ in range(5)]

    assert [(event.process, event.type) for event in completions] == [
        (0, "ok"),
        (0, "info"),
        (1, "ok"),
        (1, "fail"),
        (1, "ok"),
    ]


async def test_arrivals_do_not_wait_for_one_another(serve: Serve, recorder: Recorder) -> None:
    release, crowded = asyncio.Event(), asyncio.Event()
    waiting = itertools.count(1)

    async def stall(_: web.Request) -> web.Response:
        if next(waiting) == 20:
            crowded.set()
        await release.wait()
        return web.json_response({})

    stop = asyncio.Event()
    async with Client(recorder, await serve(stall), None) as client:
        offered = asyncio.create_task(offer(client, 200, lambda at: client.perform(READ, at), stop))
        await asyncio.wait_for(crowded.wait(), 30)
        stop.set()
        release.set()
        count = await offered

    reads = recorder.history().operations("read")
    assert len(reads) == count >= 20
    assert {read.outcome for read in reads} == {"ok"}
    intended = [read.invoke.value["intended_ns"] for read in reads]
    assert {later - earlier for earlier, later in itertools.pairwise(intended)} == {5_000_000}
    assert all(read.invoke.time >= read.invoke.value["intended_ns"] for read in reads)


async def test_more_than_the_client_can_bear_is_recorded_as_failed(serve: Serve, recorder: Recorder) -> None:
    release = asyncio.Event()

    async def stall(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({})

    async with Client(recorder, await serve(stall), None, in_flight_max=2) as client:
        held = [asyncio.create_task(client.perform(READ)) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await client.perform(READ)
        release.set()
        await asyncio.gather(*held)

    assert (refused.type, refused.error) == ("fail", "client saturated: 2 in flight")


async def test_what_a_workload_raises_is_not_swallowed(recorder: Recorder) -> None:
    stop = asyncio.Event()

    async def fail(_: int) -> None:
        stop.set()
        raise OSError("no space left")

    async with Client(recorder, "http://127.0.0.1:9", None) as client:
        with pytest.raises(OSError, match="no space left"):
            await offer(client, 100, fail, stop)


async def test_reads_go_on_from_what_was_read(serve: Serve, recorder: Recorder) -> None:
    asked: list[str] = []

    async def page(request: web.Request) -> web.Response:
        asked.append(request.path_qs)
        items = [{"source_id": "house", "name": "house/model 1"}]
        return web.json_response({"items": items, "nextPageToken": "next"})

    reads = Reads(random.Random(1))
    async with Client(recorder, await serve(page), None) as client:
        for _ in range(40):
            assert (await client.perform(reads.next())).type == "ok"

    base = "/api/model_catalog/v1alpha1"
    assert set(asked) == {
        f"{base}/models?pageSize=10",
        f"{base}/models?pageSize=10&nextPageToken=next",
        f"{base}/sources/house/models/house%2Fmodel%201",
    }


def test_written_values_are_unique_to_the_run() -> None:
    ours, others = Writes(), Writes()
    values = [workload.next().value["value"] for workload in (ours, others) for _ in range(100)]
    assert len(set(values)) == 200


async def test_read_back_tells_how_often_each_effect_was_seen(serve: Serve, recorder: Recorder) -> None:
    async def probe(request: web.Request) -> web.Response:
        value = request.path.rsplit("/", 1)[1]
        if value == "lost":
            return web.json_response({"message": "no such probe"}, status=404)
        return web.json_response({"value": value, "effects": [{"jobId": "1"}] * (2 if value == "twice" else 1)})

    async with Client(recorder, await serve(probe), None) as client:
        await read_back(client, ["kept", "twice", "lost"])

    told = {
        operation.invoke.value["value"]: operation.completion.value
        for operation in recorder.history().operations("read-back")
        if operation.completion
    }
    assert told == {
        "kept": {"found": True, "effects": 1},
        "twice": {"found": True, "effects": 2},
        "lost": {"found": False, "effects": 0},
    }


async def test_read_back_asks_again_where_the_question_failed(serve: Serve, recorder: Recorder) -> None:
    statuses = iter([503, 200])

    async def probe(_: web.Request) -> web.Response:
        return web.json_response({"effects": []}, status=next(statuses))

    async with Client(recorder, await serve(probe), None) as client:
        await read_back(client, ["a"])

    assert [operation.outcome for operation in recorder.history().operations("read-back")] == ["fail", "ok"]


@pytest.mark.parametrize("nobody_serves", [True, False])
async def test_read_back_gives_up_where_nobody_serves_and_only_there(
    serve: Serve, recorder: Recorder, monkeypatch: pytest.MonkeyPatch, nobody_serves: bool
) -> None:
    monkeypatch.setattr(writes, "_PAUSE_SECONDS", 0)

    async def probe(request: web.Request) -> web.Response:
        is_served = int(request.path.rsplit("/", 1)[1]) % 3 == 0 and not nobody_serves
        return web.json_response({"effects": []}, status=200 if is_served else 503)

    async with Client(recorder, await serve(probe), None) as client:
        await read_back(client, map(str, range(100)))

    asked = {operation.invoke.value["value"] for operation in recorder.history().operations("read-back")}
    assert len(asked) < 40 if nobody_serves else len(asked) == 100


def test_the_content_of_a_source_changes_in_every_model() -> None:
    before, after = (json.loads(catalog("house", mark))["models"] for mark in ("revision 1", "revision 2"))
    assert [model["name"] for model in before] == [model["name"] for model in after]
    assert all(old["description"] != new["description"] for old, new in zip(before, after, strict=True))


def test_ticks_are_read_from_metrics() -> None:
    text = (
        "# HELP catalog_singleton_ticks_total Rounds of a leader-only loop\n"
        'catalog_singleton_ticks_total{loop="schedule",outcome="done"} 12.0\n'
        'catalog_singleton_ticks_total{loop="schedule",outcome="failed"} 1.0\n'
        'catalog_singleton_ticks_created{loop="schedule",outcome="done"} 1.7e+09\n'
        'catalog_singleton_ticks_total{loop="cleanup",outcome="done"} 3.0\n'
    )
    assert parse_ticks(text) == {"schedule": {"done": 12.0, "failed": 1.0}, "cleanup": {"done": 3.0, "failed": 0.0}}

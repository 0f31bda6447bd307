"""The phases of a run against a deployment that is only made up: when it goes on, and when it gives up."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import web

from ha_verify.checkers.injected import injected, not_injected
from ha_verify.history import History, Recorder
from ha_verify.scenarios import runner
from ha_verify.scenarios.scenario import Experiment, Injection, Load
from ha_verify.targets import Replica, Target, Timing


class Deployment:
    """Replicas at one address, which are ready or not: `ready` says how many."""

    timing = Timing()
    lacks = ("database members",)

    def __init__(self, url: str) -> None:
        self.base_url = url
        self.ready = 2
        self.healed = 0
        self._now = 0

    async def token(self) -> None:
        return None

    async def sources(self) -> list[str]:
        return []

    async def replicas(self) -> list[Replica]:
        return [Replica(f"replica-{n}", f"{self.base_url}/{n}", running=True, instance="1") for n in (1, 2)]

    async def sql(self, query: str, parameters: Sequence[Any] = ()) -> list[dict[str, Any]]:
        """Time passes, somebody leads, and there are no jobs."""
        self._now += 1
        return [{"now": self._now, "at": self._now, "jobs": 0}]

    async def heal(self) -> None:
        self.healed += 1

    async def renew(self) -> list[str]:
        return []


class Loss:
    """So many replicas are ready afterwards, for good."""

    name, class_ = "loss", "replica-kill"

    def __init__(self, ready: int) -> None:
        self._ready = ready

    async def inject(self, target: Any) -> dict[str, Any]:
        target.ready = self._ready
        return {}

    async def heal(self, target: Any) -> dict[str, Any]:
        return {}


class Silent:
    """A display for nobody."""

    def watch(self, client: Any) -> None: ...

    def phase(self, name: str) -> None: ...

    def fault(self, name: str, number: int, of: int) -> None: ...

    def note(self, text: str) -> None: ...


@pytest.fixture
async def deployment() -> AsyncIterator[Deployment]:
    async def answer(request: web.Request) -> web.Response:
        number = int(request.path.split("/")[1])
        return web.json_response({"checks": {}}, status=200 if number <= made.ready else 503)

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    served = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await served.setup()
    await web.TCPSite(served, "127.0.0.1", 0).start()
    host, port = served.addresses[0][:2]
    made = Deployment(f"http://{host}:{port}")
    yield made
    await served.cleanup()


async def history_of(deployment: Deployment, losses: Sequence[Loss], path: Path) -> History:
    recorder = Recorder(path)
    injections = [Injection(loss, wait_max_seconds=0) for loss in losses]
    experiment = Experiment(injections, Load(0, 0, 0), replicas=2, warm_up_seconds=0, cool_down_seconds=0)
    run = runner.Runner(cast(Target, deployment), recorder, Silent(), random.Random(1))
    async with asyncio.timeout(30):
        await run.run(experiment)
    return recorder.history()


async def test_a_deployment_of_which_nobody_serves_is_broken_no_further_and_the_rest_was_not_tried(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "recovery_seconds", lambda _: 0.1)
    monkeypatch.setattr(runner, "restart_seconds", lambda _: 0.1)
    history = await history_of(deployment, [Loss(0), Loss(0), Loss(2)], tmp_path / "history.jsonl")
    assert len(injected(history)) == 1
    assert [(event.value["id"], event.error) for event in not_injected(history)] == [
        (number, "nobody had served any more since the fault before") for number in (2, 3)
    ]
    assert deployment.healed > 0
    assert [event.value["what"] for event in history.of("not in time")] == ["recovery", "recovery"]


async def test_a_deployment_that_serves_in_part_meets_the_next_fault(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "recovery_seconds", lambda _: 0.1)
    history = await history_of(deployment, [Loss(1), Loss(2)], tmp_path / "history.jsonl")
    assert len(injected(history)) == 2
    assert not_injected(history) == []

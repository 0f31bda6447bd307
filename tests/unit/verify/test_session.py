"""A deployment that a run has left broken: what comes next tries nothing, and the verdict says so."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ha_verify.history import Recorder, read_history
from ha_verify.scenarios import DRILL, Options, chosen, runner, session
from ha_verify.scenarios.settle import NotInTime
from ha_verify.targets import NotPossible, Target, Timing
from ha_verify.verdict import judge


class Quiet:
    """A display that nobody looks at."""

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


def broken_target() -> Target:
    async def replicas() -> list[str]:
        return ["r1", "r2", "r3"]

    async def heal() -> None:
        raise NotPossible("no member of the database is a primary")

    versions: dict[str, str] = {}
    target = SimpleNamespace(name="local", timing=Timing(), replicas=replicas, heal=heal, versions=lambda: versions)
    return cast(Target, target)


def test_a_run_that_can_not_begin_is_recorded_and_keeps_the_verdict_from_a_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        raise NotInTime("not ready: r1")

    monkeypatch.setattr(session, "settled", never)

    async def run() -> list[Path]:
        interrupted = asyncio.Event()
        runs = session.Session(broken_target(), tmp_path, cast(Any, Quiet()), seed=1, interrupted=interrupted)
        return await runs.run(session.plan(chosen([DRILL]), Options(Timing()), 1)[:2])

    histories = {path.name: read_history(path) for path in asyncio.run(run())}
    assert len(histories) == 2
    assert all(history.of("not begun")[0].error == "not ready: r1" for history in histories.values())
    verdict = judge(histories)
    assert verdict.result == "INCONCLUSIVE"
    assert all(any(name in told for told in verdict.untried) for name in histories)


async def test_what_can_not_be_healed_is_on_record_and_does_not_end_the_run(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "history.jsonl")
    runs = runner.Runner(broken_target(), recorder, cast(Any, Quiet()), cast(Any, None))
    await runs._heal()
    (event,) = recorder.history().of("not in time")
    assert event.value == {"what": "healing"}
    assert "no member of the database is a primary" in (event.error or "")
    recorder.close()

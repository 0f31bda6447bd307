"""What a node is told to do to a pod's processes, done here to processes of this machine: `ctr` alone is a stand-in."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ha_verify.targets.kind.containers import Containers
from ha_verify.targets.kind.pods import Pod
from ha_verify.targets.target import NotPossible

CTR = """#!/bin/sh
case "$3" in
  tasks) echo "TASK PID STATUS"; echo "member %d RUNNING" ;;
  containers) echo member ;;
esac
"""
# Two children, of which one has a child of its own; the parent waits.
FAMILY = "sh -c 'sleep 60 & wait' & sleep 60 & wait"
# Like a server that makes a process for each client, the newest of which was not there when the others were counted.
FORKING = "while :; do sh -c 'sleep 0.02' & sleep 0.005; done"


class ThisMachine:
    """Runs what is for a node."""

    def __init__(self, folder: Path) -> None:
        self._path = f"{folder}:{os.environ['PATH']}"

    async def script(self, name: str, text: str, *arguments: str) -> str:
        return await asyncio.to_thread(self._run, text, *arguments)

    def _run(self, text: str, *arguments: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", text, "ha-verify", *arguments],
            env=os.environ | {"PATH": self._path},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NotPossible(done.stderr)
        return done.stdout


@pytest.fixture
def first(request: pytest.FixtureRequest) -> Iterator[psutil.Popen]:
    process = psutil.Popen(["bash", "-c", getattr(request, "param", FAMILY)], start_new_session=True)
    yield process
    for each in [process, *process.children(recursive=True)] if process.is_running() else []:
        each.send_signal(signal.SIGKILL)
    process.wait()


@pytest.fixture
def node(tmp_path: Path, first: psutil.Popen) -> Containers:
    ctr = tmp_path / "ctr"
    ctr.write_text(CTR % first.pid)
    ctr.chmod(0o755)
    return Containers(ThisMachine(tmp_path), "catalog")  # type: ignore[arg-type]


def pod(*, running: bool = True) -> Pod:
    return Pod("a", "1", "worker", "10.0.0.1", "member", running=running, ready=True, restarts=0, deleting=False)


def all_of(first: psutil.Popen, wanted: int) -> list[psutil.Process]:
    """When there are as many as wanted."""
    give_up_at = time.monotonic() + 10
    while len(found := [first, *first.children(recursive=True)]) < wanted:
        assert time.monotonic() < give_up_at
        time.sleep(0.01)
    return found


def states(processes: list[psutil.Process]) -> set[str]:
    return {each.status() for each in processes if each.is_running()}


async def test_all_processes_of_a_container_stop_and_go_on(first: psutil.Popen, node: Containers) -> None:
    family = all_of(first, 4)
    await node.signal(pod(), "STOP")
    assert states(family) == {psutil.STATUS_STOPPED}
    assert await node.mend("worker", pod()) == ["member"]
    assert psutil.STATUS_STOPPED not in states(family)
    assert await node.mend("worker", pod()) == [], "there was nothing to be mended"


@pytest.mark.parametrize("first", [FORKING], indirect=True)
async def test_none_that_was_forked_meanwhile_goes_on(first: psutil.Popen, node: Containers) -> None:
    all_of(first, 3)
    await node.signal(pod(), "STOP")
    assert states(all_of(first, 1)) <= {psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE}


@pytest.mark.parametrize("stopped", [False, True])
async def test_none_is_left_of_a_container_that_was_ended(first: psutil.Popen, node: Containers, stopped: bool) -> None:
    family = all_of(first, 4)
    if stopped:
        await node.signal(pod(), "STOP")
    assert await node.end(pod()) == "no process of it is left"
    first.wait()
    give_up_at = time.monotonic() + 10  # in a container the first process does not end before the others
    while not states(family) <= {psutil.STATUS_ZOMBIE}:
        assert time.monotonic() < give_up_at, states(family)
        await asyncio.sleep(0.01)
    assert await node.end(pod()) == "no process of it is left", "also where it did not run"


async def test_a_container_that_does_not_run_is_not_told_to_be_stopped(first: psutil.Popen, node: Containers) -> None:
    with pytest.raises(NotPossible, match="a does not run"):
        await node.signal(pod(running=False), "STOP")


async def test_a_container_that_ends_while_it_is_mended_is_passed_over(first: psutil.Popen, node: Containers) -> None:
    first.kill()
    first.wait()
    assert await node.mend("worker", pod()) == []

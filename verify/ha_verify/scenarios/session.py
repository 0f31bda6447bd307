"""Several scenarios against one deployment, each run told by a history file of its own."""

import asyncio
import platform
import random
import shlex
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import ha_verify
from ha_verify.faults import Fault, needs_of
from ha_verify.history import RUN, Recorder
from ha_verify.scenarios.runner import Display, Runner
from ha_verify.scenarios.scenario import Experiment, Options, Scenario
from ha_verify.scenarios.settle import NotInTime, recovery_seconds, settled
from ha_verify.targets import Need, Target, Timing


class SessionDisplay(Display, Protocol):
    """Shows the runs of a session, one after the other."""

    def begin(self, label: str) -> None: ...

    def end(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Planned:
    """One run that is to be done. `trial` counts the runs of its scenario from 1."""

    scenario: Scenario
    trial: int
    experiment: Experiment
    left_out: tuple[str, ...] = ()  # faults of the scenario that the target can not do

    @property
    def file_name(self) -> str:
        return f"history-{self.scenario.name}-{self.trial}.jsonl"


def plan(scenarios: Sequence[Scenario], options: Options, seed: int) -> list[Planned]:
    """The runs of the scenarios. What is random in a scenario depends on the seed and on its own name only.

    Without the faults that need what the target lacks: an experiment that would have none is not done, so a
    scenario may be missing. What was left out of an experiment is told by its history.
    """
    planned: list[Planned] = []
    for scenario in scenarios:
        trial = 0
        for experiment in scenario.plan(options, _rng(seed, scenario.name, "plan")):
            kept = [each for each in experiment.injections if not lacking(each.fault, options.lacks)]
            left_out = [each.fault.name for each in experiment.injections if lacking(each.fault, options.lacks)]
            if kept:
                trial += 1
                names = tuple(dict.fromkeys(left_out))
                planned.append(Planned(scenario, trial, replace(experiment, injections=kept), names))
    return planned


def lacking(fault: Fault, lacks: Collection[Need]) -> set[Need]:
    """What the fault needs and the target does not have."""
    return set(needs_of(fault)) & set(lacks)


def needs(scenarios: Sequence[Scenario]) -> set[Need]:
    """What any of their faults needs."""
    every = plan(scenarios, Options(Timing()), 0)
    return {need for each in every for injection in each.experiment.injections for need in needs_of(injection.fault)}


class Session:
    """Does what was planned, with a deployment that is up."""

    def __init__(
        self,
        target: Target,
        directory: Path,
        display: SessionDisplay,
        *,
        seed: int,
        interrupted: asyncio.Event,
    ) -> None:
        self._target = target
        self._directory = directory
        self._display = display
        self._seed = seed
        self._interrupted = interrupted

    async def run(self, planned: Sequence[Planned]) -> list[Path]:
        """The files of the runs that were begun, in order; fewer than planned if interrupted."""
        paths = []
        for each in planned:
            if self._interrupted.is_set():
                break
            paths.append(await self._run(each))
        return paths

    async def _run(self, planned: Planned) -> Path:
        experiment = planned.experiment
        self._display.begin(f"{planned.scenario.name} {planned.trial}")
        recorder = Recorder(self._directory / planned.file_name)
        try:
            recorder.record("info", RUN, "run", self._description(planned))
            await self._prepare(experiment.replicas)
            rng = _rng(self._seed, planned.scenario.name, planned.trial)
            await Runner(self._target, recorder, self._display, rng, interrupted=self._interrupted).run(experiment)
        except NotInTime as error:  # what the run before has left: this one tries nothing, and the verdict says so
            recorder.record("info", RUN, "not begun", None, str(error))
            self._display.note(f"not begun: {error}")
        finally:
            recorder.close()
        self._display.end()
        return recorder.path

    async def _prepare(self, replicas: int) -> None:
        if len(await self._target.replicas()) != replicas:
            await self._target.scale(replicas)
        await settled(self._target, replicas, recovery_seconds(self._target))

    def _description(self, planned: Planned) -> dict[str, Any]:
        return {
            "scenario": planned.scenario.name,
            "trial": planned.trial,
            "seed": self._seed,
            "target": self._target.name,
            "timing": asdict(self._target.timing),
            "claims": list(planned.scenario.claims),
            "left_out": list(planned.left_out),
            "rewinds": planned.experiment.rewinds,
            "versions": {
                "ha-verify": ha_verify.__version__,
                "python": platform.python_version(),
                **self._target.versions(),
            },
            "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        }


def _rng(*parts: object) -> random.Random:
    return random.Random(":".join(map(str, parts)))  # noqa: S311 - schedules must be repeatable, not secret

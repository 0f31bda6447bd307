"""The phases of every run: load -> faults -> heal -> recover -> final reads."""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from ha_verify.history import NEMESIS, RUN, Recorder
from ha_verify.scenarios.scenario import Experiment, Injection, Load
from ha_verify.scenarios.settle import NotInTime, drained, recovery_seconds, restart_seconds, serves, settled
from ha_verify.targets import NotPossible, Target
from ha_verify.workloads import Client, Observer, Reads, Refreshes, Writes, offer, read_back
from ha_verify.workloads.final import database_time, dump_tables, record_checksums

_DRAIN_SECONDS = 60.0


class Display(Protocol):
    """Shows a person how far a run is."""

    def watch(self, client: Client) -> None:
        """From now on these are the counts to show."""

    def phase(self, name: str) -> None: ...

    def fault(self, name: str, number: int, of: int) -> None: ...

    def note(self, text: str) -> None: ...


class Runner:
    """Runs one experiment against a deployment that is up. Everything it does and sees goes to the recorder."""

    def __init__(
        self,
        target: Target,
        recorder: Recorder,
        display: Display,
        rng: random.Random,
        *,
        interrupted: asyncio.Event | None = None,
    ) -> None:
        self._target = target
        self._recorder = recorder
        self._display = display
        self._rng = rng
        self._interrupted = interrupted or asyncio.Event()
        self._replicas = 0  # how many there should be by now
        self._recovered = True  # from the last fault, in time

    async def run(self, experiment: Experiment) -> None:
        """Returns with a complete history, whatever happened; when interrupted, with what there was to be seen."""
        target, recorder = self._target, self._recorder
        self._replicas = experiment.replicas
        began = await database_time(target)
        sources = await self._sources()
        token = await target.token()
        async with Client(recorder, target.base_url, token, kept_alive=experiment.load.kept_alive) as client:
            self._display.watch(client)
            async with Observer(recorder, target, watch_locks=experiment.watch_locks) as observer:
                try:
                    if experiment.load_after_faults:
                        observer.watch_leader = False
                        await self._faults(experiment)
                        observer.watch_leader = True
                        async with self._load(client, experiment.load, sources):
                            await self._pause(experiment.warm_up_seconds + experiment.cool_down_seconds)
                    else:
                        async with self._load(client, experiment.load, sources):
                            await self._pause(experiment.warm_up_seconds)
                            await self._faults(experiment)
                            await self._pause(experiment.cool_down_seconds)
                finally:
                    await self._heal()
                self._phase("final reads")
                observer.report_unstarted()
                if self._recovered:  # else the jobs had as long already
                    await self._await("the queue", drained(target, _DRAIN_SECONDS))
            await read_back(client, self._written())
        await record_checksums(recorder, await target.replicas())
        await dump_tables(recorder, target, began)

    async def _faults(self, experiment: Experiment) -> None:
        self._phase("faults")
        began_ns = self._recorder.now_ns()
        given_up = 0  # after this fault
        for number, injection in enumerate(experiment.injections, 1):
            passed_seconds = (self._recorder.now_ns() - began_ns) / 1e9
            if self._interrupted.is_set() or passed_seconds > (experiment.faults_seconds or math.inf):
                break
            await self._pause(self._rng.uniform(0, injection.wait_max_seconds))
            self._display.fault(injection.fault.name, number, len(experiment.injections))
            await self._inject(number, injection)
            self._phase("recover")
            self._replicas = getattr(injection.fault, "replicas_after", self._replicas)
            await self._recover(recovery_seconds(self._target))
            if not self._recovered and not await serves(self._target):
                given_up = number
                break
            await self._pause(injection.watch_seconds)
            await self._renew()
        self._phase("heal")
        await self._heal()
        self._phase("recover")
        # Who did not recover by itself may still be started by the healing.
        await self._recover((restart_seconds if given_up else recovery_seconds)(self._target))
        if given_up:
            self._leave_out(experiment.injections[given_up:], given_up + 1)

    def _leave_out(self, injections: Sequence[Injection], first: int) -> None:
        """Told as faults that did not take effect: what nothing is left of shows nothing by another one."""
        for number, injection in enumerate(injections, first):
            described = self._describe(number, injection)
            self._nemesis("invoke", "fault", described)
            self._nemesis("fail", "fault", described, "nobody had served any more since the fault before")

    async def _recover(self, seconds: float) -> None:
        self._recovered = await self._await("recovery", settled(self._target, self._replicas, seconds))

    async def _heal(self) -> None:
        """What can not be healed, such as data that were not restored, is on record, and judged by its claims."""
        try:
            await self._target.heal()
        except Exception as error:
            self._recorder.record("info", RUN, "not in time", {"what": "healing"}, f"{type(error).__name__}: {error}")
            self._display.note(f"not healed: {error}")

    async def _renew(self) -> None:
        try:
            renewed = await self._target.renew()
        except Exception as error:  # the next fault meets a replica that is slow to start: told by its own trial
            self._display.note(f"worn out replicas were not replaced: {error}")
            return
        if renewed:
            self._phase("renew")
            await self._recover(recovery_seconds(self._target))

    async def _inject(self, number: int, injection: Injection) -> None:
        fault = injection.fault
        described = self._describe(number, injection)
        self._nemesis("invoke", "fault", described)
        try:
            proof = await fault.inject(self._target)
        except Exception as error:  # whatever it was: the trial says nothing, and the others go on
            self._nemesis("fail", "fault", described, f"{type(error).__name__}: {error}")
            self._display.note(f"{fault.name}: {error}")
        else:
            self._nemesis("ok", "fault", described | {"proof": proof})
            await self._pause(injection.hold_seconds)
        described = described | {"at": self._recorder.now_ns()}
        self._nemesis("invoke", "heal", described)
        try:
            proof = await fault.heal(self._target)
        except Exception as error:
            self._nemesis("fail", "heal", described, f"{type(error).__name__}: {error}")
            await self._heal()
        else:
            self._nemesis("ok", "heal", described | {"proof": proof})

    def _describe(self, number: int, injection: Injection) -> dict[str, Any]:
        fault = injection.fault
        return {"id": number, "fault": fault.name, "class": fault.class_, "at": self._recorder.now_ns()}

    @contextlib.asynccontextmanager
    async def _load(self, client: Client, load: Load, sources: Sequence[str]) -> AsyncIterator[None]:
        """Offers the load meanwhile; when left, all requests have been answered or given up."""
        self._phase("load")
        stop = asyncio.Event()
        # A source of chance of its own: how many reads there are must not change the schedule of faults.
        reads, writes = Reads(random.Random(0)), Writes()  # noqa: S311
        refreshes = Refreshes(client, self._target, sources)
        streams = []
        if load.reads:
            streams.append(offer(client, load.reads, lambda at: client.perform(reads.next(), at), stop))
        if load.writes:
            streams.append(offer(client, load.writes, lambda at: client.perform(writes.next(), at), stop))
        if load.refreshes and sources:
            streams.append(offer(client, load.refreshes, refreshes.step, stop))
        tasks = [asyncio.create_task(stream) for stream in streams]
        try:
            yield
        finally:
            stop.set()
            await asyncio.gather(*tasks)

    async def _sources(self) -> list[str]:
        try:
            return await self._target.sources()
        except NotPossible as error:
            self._display.note(f"no refreshes: {error}")
            return []

    def _written(self) -> list[str]:
        return [operation.invoke.value["value"] for operation in self._recorder.history().operations("write")]

    async def _pause(self, seconds: float) -> None:
        """The schedule's own time, cut short by an interruption."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._interrupted.wait(), seconds)

    async def _await(self, what: str, event: Any) -> bool:
        """Whether it happened in time."""
        try:
            await event
        except NotInTime as error:
            self._recorder.record("info", RUN, "not in time", {"what": what}, str(error))
            self._display.note(f"{what}: {error}")
            return False
        return True

    def _phase(self, name: str) -> None:
        self._recorder.record("info", RUN, "phase", name)
        self._display.phase(name)

    def _nemesis(self, type_: Any, f: str, value: dict[str, Any], error: str | None = None) -> None:
        self._recorder.record(type_, NEMESIS, f, value, error)

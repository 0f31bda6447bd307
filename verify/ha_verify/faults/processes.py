"""A replica's process is killed, asked to end, or paused; all of them are rolled or scaled."""

import time
from typing import Any, Literal

from ha_verify.faults import seen, victims
from ha_verify.faults.fault import FaultFailed
from ha_verify.targets import Target

End = Literal["KILL", "TERM"]

START_SECONDS = 60.0  # from the end of a process to its successor's start
STOP_SECONDS = 60.0  # an orderly stop drains, and finishes what is in flight


class _EndProcess:
    """KILL or TERM. The proof: another instance runs in its place. Whatever keeps it up restarts it: that heals."""

    def __init__(self, name: str, class_: str, signal: End, choose: victims.Choice) -> None:
        self.name, self.class_ = name, class_
        self._signal: End = signal
        self._choose = choose

    async def inject(self, target: Target) -> dict[str, Any]:
        name, struck_at = await self._catch(target)
        before = (await seen.replica(target, name)).instance
        await target.signal(name, self._signal)
        proof: dict[str, Any] = {"replica": name, "instance": before, "struck_at": struck_at}
        if self._signal == "KILL":
            proof["claims"] = await victims.claims_of(target, name)  # what it died with
        seconds = START_SECONDS + (STOP_SECONDS if self._signal == "TERM" else 0)
        proof["successor"] = await seen.instance_other_than(target, name, before, seconds)
        return proof

    async def _catch(self, target: Target) -> tuple[str, float]:
        """The victim, and when it was struck."""
        return await self._choose(target), time.time()

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}


class _Pause:
    """STOP, and CONT as its healing. The proof: it does not answer, although its connections are open."""

    def __init__(self, name: str, class_: str, choose: victims.Choice) -> None:
        self.name, self.class_ = name, class_
        self._choose = choose
        self._paused = ""

    async def inject(self, target: Target) -> dict[str, Any]:
        self._paused, struck_at = await self._catch(target)
        claims = await victims.claims_of(target, self._paused)
        victim = await seen.replica(target, self._paused)
        answer = await seen.answers(victim.url)
        if answer.isdigit():
            raise FaultFailed(f"{victim.name} was stopped, and yet answers {answer}")
        proof = {"replica": victim.name, "instance": victim.instance, "healthz": answer, "claims": claims}
        return proof | {"struck_at": struck_at}

    async def _catch(self, target: Target) -> tuple[str, float]:
        """The victim, which is paused now, and when it was struck."""
        name, struck_at = await self._choose(target), time.time()
        await target.signal(name, "STOP")
        return name, struck_at

    async def heal(self, target: Target) -> dict[str, Any]:
        if not self._paused:
            return {}
        name, self._paused = self._paused, ""
        url = (await seen.replica(target, name)).url
        await target.signal(name, "CONT")

        async def look() -> bool:
            return (await seen.answers(url)).isdigit()

        await seen.until(f"an answer of {name}", START_SECONDS, look)
        return {"replica": name, "instance": (await seen.replica(target, name)).instance}


class SignalLeader(_EndProcess):
    def __init__(self, signal: End) -> None:
        super().__init__(f"SIG{signal} the leader", f"leader-{signal.lower()}", signal, victims.leader)


class SignalReplica(_EndProcess):
    """A replica that does not lead."""

    def __init__(self, signal: End, nth: int = 0) -> None:
        super().__init__(f"SIG{signal} a follower", f"replica-{signal.lower()}", signal, victims.follower(nth))


class KillWorker(_EndProcess):
    """A replica in the midst of a job: it is paused first, so that the job is not done before the signal comes."""

    def __init__(self, nth: int = 0) -> None:
        super().__init__("SIGKILL a worker", "replica-kill", "KILL", victims.worker(nth))

    async def _catch(self, target: Target) -> tuple[str, float]:
        return await victims.paused_in_a_job(target, self._choose)


class PauseLeader(_Pause):
    def __init__(self) -> None:
        super().__init__("SIGSTOP the leader", "leader-pause", victims.leader)


class PauseReplica(_Pause):
    def __init__(self, nth: int = 0) -> None:
        super().__init__("SIGSTOP a follower", "replica-pause", victims.follower(nth))


class PauseWorker(_Pause):
    """A replica in the midst of a job."""

    def __init__(self, nth: int = 0) -> None:
        super().__init__("SIGSTOP a worker", "replica-pause", victims.worker(nth))

    async def _catch(self, target: Target) -> tuple[str, float]:
        return await victims.paused_in_a_job(target, self._choose)


class Roll:
    """All replicas are restarted, one at a time. The proof: each is another instance."""

    name, class_ = "rolling restart", "roll"

    async def inject(self, target: Target) -> dict[str, Any]:
        before = {each.name: each.instance for each in await target.replicas()}
        await target.roll()
        after = {each.name: each.instance for each in await target.replicas()}
        same = [name for name, instance in after.items() if before.get(name) == instance]
        if same:
            raise FaultFailed(f"not restarted: {', '.join(same)}")
        return {"before": before, "after": after}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}


class Scale:
    """To another number of replicas. The proof: so many run."""

    class_ = "scale"

    def __init__(self, replicas: int) -> None:
        self.name = f"scale to {replicas}"
        self.replicas_after = replicas

    async def inject(self, target: Target) -> dict[str, Any]:
        before = len(await target.replicas())
        await target.scale(self.replicas_after)
        running = [each.name for each in await target.replicas() if each.running]
        if len(running) != self.replicas_after:
            raise FaultFailed(f"{len(running)} replicas run: {', '.join(running)}; wanted were {self.replicas_after}")
        return {"before": before, "running": running}

    async def heal(self, target: Target) -> dict[str, Any]:
        return {}

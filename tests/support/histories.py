"""A made-up history of a run in which leaders are killed: for tests of what is drawn from histories.

Not a model of the server: it only has every kind of event that a report shows, in a plausible order, and is the
same for the same seed.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from ha_verify.history import Event, History, Type

WALL_AT_START = 1_780_000_000.0
REPLICAS = ("replica-1", "replica-2", "replica-3")


@dataclass
class HistoryMaker:
    """Collects events in any order; `history` puts them in the order of their times."""

    _events: list[tuple[float, Type, int | str, str, Any, str | None]] = field(default_factory=list)

    def add(
        self, seconds: float, type_: Type, process: int | str, f: str, value: Any = None, error: str | None = None
    ) -> None:
        self._events.append((seconds, type_, process, f, value, error))

    def history(self) -> History:
        ordered = sorted(self._events, key=lambda event: event[0])
        return History(
            [
                Event(index, type_, process, f, value, round(seconds * 1e9), WALL_AT_START + seconds, error)
                for index, (seconds, type_, process, f, value, error) in enumerate(ordered)
            ]
        )


def database_time(seconds: float) -> float:
    """A time of the run as a history's table tells it."""
    return WALL_AT_START + seconds


@dataclass(frozen=True)
class Kill:
    """The leader is killed at a time, and succeeded after another."""

    name: str
    class_: str
    at_seconds: float
    failover_seconds: float


KILLS = (
    Kill("SIGKILL the leader", "leader-kill", 20.0, 13.2),
    Kill("SIGTERM the leader", "leader-term", 60.0, 1.1),
    Kill("SIGSTOP the leader", "leader-pause", 90.0, 15.4),
)


def killed_leaders(
    seed: int = 7, *, kills: tuple[Kill, ...] = KILLS, duration_seconds: float = 130.0, requests_per_second: float = 20
) -> History:
    """Reads, writes and jobs for a while, in which each kill costs a few requests, jobs and a change of leader."""
    return _Run(random.Random(seed), seed, kills, duration_seconds, requests_per_second).history()


class _Run:
    def __init__(
        self, chance: random.Random, seed: int, kills: tuple[Kill, ...], duration_seconds: float, rate: float
    ) -> None:
        self._chance, self._seed, self._kills, self._duration, self._rate = chance, seed, kills, duration_seconds, rate
        self._maker = HistoryMaker()
        self._starts = dict.fromkeys(REPLICAS, 0)

    def history(self) -> History:
        self._describe()
        for replica in REPLICAS:
            self._maker.add(1.0, "info", "observer", "startup", {"replica": replica, "ready_after_seconds": 0.9})
            self._ready(1.0, replica)
        self._leaders()
        self._requests()
        self._jobs()
        for replica in REPLICAS:
            checksum = {"replica": replica, "digest": "5f0c"}
            self._maker.add(self._duration - 0.1, "info", "observer", "checksum", checksum)
        return self._maker.history()

    def _describe(self) -> None:
        run = {
            "scenario": "kill-leader",
            "trial": 1,
            "seed": self._seed,
            "target": "local",
            "timing": {"lease": 15.0, "renew_deadline": 10.0, "retry": 2.0},
            "versions": {"ha-verify": "0.1.0", "catalog-server": "0.1.0", "PostgreSQL": "18.6", "Python": "3.11.2"},
            "command": f"ha-verify run kill-leader --target local --trials 1 --seed {self._seed}",
        }
        self._maker.add(0, "info", "run", "run", run)
        phases = ((0.5, "load"), (10, "faults"), (self._duration - 20, "heal"), (self._duration - 18, "recover"))
        for seconds, phase in (*phases, (self._duration - 5, "final reads")):
            self._maker.add(seconds, "info", "run", "phase", phase)

    def _ready(self, seconds: float, replica: str, reason: str | None = None) -> None:
        value = {"replica": replica, "ready": reason is None, "reason": reason}
        self._maker.add(seconds, "info", "observer", "readiness", value)

    def _identity(self, replica: str) -> str:
        return f"{replica}/{self._starts[replica]:012x}"

    def _leaders(self) -> None:
        epoch, leader, since = 1, REPLICAS[0], 1.0
        terms: list[list[Any]] = []
        self._lead(since, epoch, leader)
        for number, kill in enumerate(self._kills):
            self._kill(f"fault-{number + 1}", kill, leader)
            succeeded = kill.at_seconds + kill.failover_seconds
            times = [database_time(since), database_time(succeeded)]
            terms.append(["catalog", epoch, self._identity(leader), *times])
            self._starts[leader] += 1
            epoch, leader, since = epoch + 1, REPLICAS[(number + 1) % 3], succeeded
            self._lead(since, epoch, leader)
        terms.append(["catalog", epoch, self._identity(leader), database_time(since), None])
        columns = ["name", "epoch", "holder", "started_at", "ended_at"]
        self._table("leadership_terms", columns, terms)

    def _lead(self, seconds: float, epoch: int, replica: str) -> None:
        value = {"epoch": epoch, "holder": self._identity(replica), "replica": replica, "timeline": 1}
        self._maker.add(seconds, "info", "observer", "leader", value)

    def _kill(self, id_: str, kill: Kill, leader: str) -> None:
        begin, end = kill.at_seconds, kill.at_seconds + 6
        value = {"id": id_, "fault": kill.name, "class": kill.class_, "at": round(begin * 1e9)}
        self._maker.add(begin, "invoke", "nemesis", "fault", value)
        proof = {"replica": leader, "process_id": self._chance.randrange(10_000), "seen": "its process is gone"}
        self._maker.add(begin + 0.01, "ok", "nemesis", "fault", {**value, "proof": proof})
        self._maker.add(end, "invoke", "nemesis", "heal", value)
        self._maker.add(end + 0.4, "ok", "nemesis", "heal", {**value, "proof": {"seen": "ready again"}})
        self._ready(begin + 0.2, leader, "connection refused")
        self._ready(begin + 3.0, leader, "migrations: waits for the lock")
        self._ready(end, leader)
        self._maker.add(
            end, "info", "observer", "startup", {"replica": leader, "ready_after_seconds": end - begin - 0.2}
        )

    def _requests(self) -> None:
        for number in range(int((self._duration - 12) * self._rate)):
            intended = 1 + number / self._rate
            struck = next((kill for kill in self._kills if 0 <= intended - kill.at_seconds < 2.0), None)
            f = "write" if number % 5 == 0 else "read"
            latency = self._chance.lognormvariate(-4.6, 0.4)
            outcome: Type = "ok"
            if struck:
                latency += max(0.0, struck.at_seconds + 2.0 - intended) * self._chance.random()
                outcome = self._chance.choices(("ok", "fail", "info"), (6, 2, 1))[0]
            asked = {"path": "/api/v1/models"} if f == "read" else {"value": f"w-{number}"}
            self._maker.add(
                intended, "invoke", number % 97, f, {**asked, "intended_ns": round((intended - 0.0005) * 1e9)}
            )
            error = {"ok": None, "fail": "503 Service Unavailable", "info": "the connection was lost"}[outcome]
            answered = {"status": 200, "replica": self._chance.choice(REPLICAS)} if f == "read" else {"job": number}
            value = answered if outcome == "ok" else None
            self._maker.add(intended + latency, outcome, number % 97, f, value, error)

    def _jobs(self) -> None:
        self._starts = dict.fromkeys(REPLICAS, 0)
        attempts: list[list[Any]] = []
        for token in range(1, int((self._duration - 20) * 4)):
            claimed = 1 + token / 4
            replica = self._chance.choice(REPLICAS)
            outcome, took = "completed", self._chance.uniform(0.01, 0.4)
            for number, kill in enumerate(self._kills):
                if REPLICAS[number % 3] == replica and 0 <= kill.at_seconds - claimed < 2.0:
                    outcome, took = ("released", 0.3) if "TERM" in kill.name else ("rescued", 10.2)
                if REPLICAS[number % 3] == replica and claimed > kill.at_seconds:
                    self._starts[replica] = 1 + number
            if outcome == "completed" and self._chance.random() < 0.01:
                outcome = "failed"
            times = [database_time(claimed), database_time(claimed + took)]
            attempts.append([token, token, 1, self._identity(replica), outcome, *times, None])
        columns = ["token", "job_id", "attempt", "worker_id", "outcome", "claimed_at", "finished_at", "error"]
        half = len(attempts) // 2
        self._table("job_attempts", columns, attempts[:half])
        self._table("job_attempts", columns, attempts[half:])

    def _table(self, table: str, columns: list[str], rows: list[list[Any]]) -> None:
        value = {"table": table, "columns": columns, "rows": rows}
        self._maker.add(self._duration - 1, "info", "observer", "table", value)

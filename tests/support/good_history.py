"""A history of a run in which all went well, small enough to be understood, for tests to spoil."""

from typing import Any

from ha_verify.history import Event, History
from ha_verify.targets import Timing

BEGAN_WALL = 1_700_000_000.0
TIMING = Timing(lease=4.0, renew_deadline=2.7, retry=0.5, claim_lease=3.0, database_deadline=1.5, schedule=1.0)
CLAIMS = [
    *("writes-kept", "effects-once", "jobs-finish", "claims-exclusive", "dedupe", "one-leader", "fenced", "failover"),
    *("singletons-resume", "loops-stop", "migrations-once", "starts-up", "available", "latency", "recovers"),
    *("readiness-tells", "replicas-agree"),
]
Spec = tuple[float, str, int | str, str, Any]  # seconds, type, process, f, value
Tables = dict[str, list[dict[str, Any]]]

# The leader is paused from 10 to 20 s; another is cut off from the database, frozen, from 30 to 44 s.
PAUSED, WOKEN, CUT, CONNECTED, END = 10.0, 20.0, 30.0, 44.0, 50.0
SUCCEEDED = PAUSED + TIMING.lease, CUT + TIMING.lease


class GoodHistory:
    """Events and tables that may be changed before `make`."""

    def __init__(self) -> None:
        self.events: list[Spec] = []
        self.errors: dict[int, str] = {}
        self.tables: Tables = _tables()
        self._run()
        self._clients()
        self._faults()
        self._observations()

    def add(self, seconds: float, type_: str, process: int | str, f: str, value: Any, error: str | None = None) -> None:
        if error is not None:
            self.errors[len(self.events)] = error
        self.events.append((seconds, type_, process, f, value))

    def replace(self, f: str, type_: str, number: int, **changes: Any) -> None:
        """Changes fields of the value of the n-th such event."""
        places = [place for place, event in enumerate(self.events) if (event[3], event[1]) == (f, type_)]
        seconds, _, process, _, value = self.events[places[number]]
        self.events[places[number]] = (seconds, type_, process, f, value | changes)

    def remove(self, f: str) -> None:
        """All events of the function."""
        kept = [(place, event) for place, event in enumerate(self.events) if event[3] != f]
        self.errors = {new: self.errors[old] for new, (old, _) in enumerate(kept) if old in self.errors}
        self.events = [event for _, event in kept]

    def make(self) -> History:
        """In the order of time."""
        specs = [(*event, self.errors.get(place)) for place, event in enumerate(self.events)]
        for table, rows in self.tables.items():
            columns = list(rows[0]) if rows else []
            value = {"table": table, "columns": columns, "rows": [list(row.values()) for row in rows]}
            specs.append((END, "info", "observer", "table", value, None))
        specs.sort(key=lambda spec: spec[0])
        return History(
            [
                Event(index, type_, process, f, value, int(seconds * 1e9), BEGAN_WALL + seconds, error)  # type: ignore[arg-type]
                for index, (seconds, type_, process, f, value, error) in enumerate(specs)
            ]
        )

    def _run(self) -> None:
        timing = {name: getattr(TIMING, name) for name in TIMING.__dataclass_fields__}
        self.add(0.0, "info", "run", "run", {"scenario": "made up", "timing": timing, "claims": CLAIMS})

    def _clients(self) -> None:
        for number in range(480):
            at = number / 10
            value = {"path": "/", "intended_ns": int(at * 1e9)}
            self.add(at, "invoke", 1000 + number, "read", value)
            self.add(at + 0.02, "ok", 1000 + number, "read", {"status": 200})
        for number in range(5):
            at, value = 1.0 + number, f"v{number}"
            self.add(at, "invoke", number, "write", {"value": value, "intended_ns": int(at * 1e9)})
            self.add(at + 0.01, "ok", number, "write", {"job": number})
            self.add(48.0, "invoke", number, "read-back", {"value": value})
            self.add(48.1, "ok", number, "read-back", {"found": True, "effects": 1})

    def _faults(self) -> None:
        pause = {"id": 1, "fault": "SIGSTOP the leader", "class": "leader-pause", "at": 0}
        cut = {"id": 2, "fault": "cut off the leader", "class": "partition", "at": 0}
        for fault, began, healed, victim in ((pause, PAUSED, WOKEN, "r1"), (cut, CUT, CONNECTED, "r2")):
            proof = {"replica": victim}
            self.add(began, "invoke", "nemesis", "fault", fault)
            self.add(began + 0.1, "ok", "nemesis", "fault", fault | {"proof": proof})
            self.add(healed, "invoke", "nemesis", "heal", fault)
            self.add(healed + 0.1, "ok", "nemesis", "heal", fault | {"proof": {}})

    def _observations(self) -> None:
        for tenth in range(2, 498, 2):
            at = tenth / 10
            epoch = 1 + sum(at >= began for began in SUCCEEDED)
            leader = {"epoch": epoch, "holder": f"h{epoch}", "replica": f"r{epoch}", "timeline": 1}
            self.add(at, "info", "observer", "leader", leader)
        for second in range(1, 49):
            epoch = 1 + sum(second >= began for began in SUCCEEDED)
            stuck = PAUSED < second < SUCCEEDED[0] or CUT < second < SUCCEEDED[1]
            if not stuck:
                ticks = {"replica": f"r{epoch}", "loop": "schedule", "done": float(second), "failed": 0.0}
                self.add(second + 0.5, "info", "observer", "ticks", ticks)
            for name in ("r1", "r2", "r3"):
                cut_off = name == "r2" and CUT + 2 < second < CONNECTED
                self.add(second, "info", "observer", "readiness", {"replica": name, "ready": not cut_off, "reason": ""})
        self.add(0.5, "info", "observer", "startup", {"replica": "r1", "ready_after_seconds": 4.0})
        sessions = [{"pid": 7, "holder": "migrating@r1", "granted": True, "waited_seconds": 0.0, "writes": True}]
        self.add(0.2, "info", "observer", "locks", sessions)
        command = {"pid": 6, "holder": "migrating@r0/cli", "granted": True, "waited_seconds": 0.0, "writes": True}
        self.add(0.1, "info", "observer", "locks", [command])
        for name in ("r1", "r2", "r3"):
            self.add(49.0, "info", "observer", "checksum", {"replica": name, "digest": "d"})


def _tables() -> Tables:
    wall = BEGAN_WALL
    terms, ticks = [], []
    for epoch, began in enumerate((0.0, *SUCCEEDED), 1):
        terms.append({"epoch": epoch, "holder": f"h{epoch}", "started_at": wall + began, "ended_at": None})
        until = (PAUSED, CUT, END)[epoch - 1]
        ticks += [
            {"id": len(ticks) + number, "loop": "schedule", "epoch": epoch, "holder": f"h{epoch}", "at": wall + at}
            for number, at in enumerate(range(int(began) + 1, int(until)))
        ]
    jobs, attempts, probes, effects = [], [], [], []
    for number in range(5):
        at, value = wall + 1.0 + number, f"v{number}"
        probes.append({"value": value, "created_at": at})
        jobs.append(_job(number, "probe", {"value": value}, at, attempt=1))
        attempts.append(_attempt(number + 1, number, "completed", at + 0.1, at + 0.2))
        effects.append({"id": number, "value": value, "job_id": number, "token": number + 1, "at": at + 0.2})
    # A refresh whose worker was lost: rescued after its lease, and done by another.
    jobs.append(_job(90, "refresh", {"source_id": "s"}, wall + 20, attempt=2))
    attempts.append(_attempt(90, 90, "rescued", wall + 20, wall + 23.5))
    attempts.append(_attempt(91, 90, "completed", wall + 23.6, wall + 24))
    jobs.append(_job(91, "refresh", {"source_id": "s"}, wall + 30, attempt=1))
    attempts.append(_attempt(92, 91, "completed", wall + 30, wall + 31))
    versions = [{"number": number, "name": "v", "applied_by": "r1", "applied_at": wall} for number in (1, 2)]
    return {
        "jobs": jobs,
        "job_attempts": attempts,
        "probes": probes,
        "probe_effects": effects,
        "singleton_ticks": ticks,
        "leadership_terms": terms,
        "schema_migrations": versions,
    }


def _job(id_: int, kind: str, payload: dict[str, str], at: float, attempt: int) -> dict[str, Any]:
    finished_at = at + (4.0 if attempt > 1 else 1.0)
    state = {"state": "completed", "attempt": attempt, "created_at": at, "finished_at": finished_at}
    return {"id": id_, "kind": kind, "payload": payload} | state


def _attempt(token: int, job_id: int, outcome: str, claimed_at: float, finished_at: float) -> dict[str, Any]:
    times = {"claimed_at": claimed_at, "finished_at": finished_at}
    return {"token": token, "job_id": job_id, "worker_id": "w", "outcome": outcome} | times

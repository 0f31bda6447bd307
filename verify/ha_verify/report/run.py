"""One run's section: its plots, and the tables that say the same."""

from collections import Counter
from dataclasses import dataclass
from urllib.parse import quote

from ha_verify.history import History
from ha_verify.report.cost import Cost, costs
from ha_verify.report.figures import OUTCOMES, Figure, ledger_figure, run_figure
from ha_verify.report.ledger import ORDINARY, Attempt, attempts, thinned
from ha_verify.report.timeline import Timeline, timeline
from ha_verify.report.traffic import Traffic, traffic

_BUCKETS_DRAWN_MAX = 400
_BUCKETS_LISTED_MAX = 60
_COMPLETED_DRAWN_MAX = 3000


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()  # columns to be set flush right


@dataclass(frozen=True, slots=True)
class WorkerRow:
    worker: str
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    figure: Figure
    about: str
    outcomes: tuple[str, ...]
    rows: tuple[WorkerRow, ...]


@dataclass(frozen=True, slots=True)
class RunSection:
    id: str
    name: str
    href: str
    title: str
    about: str
    scenario: str
    target: str
    seed: str
    versions: str
    width: str
    time_figure: Figure
    tables: tuple[Table, ...]
    ledger: Ledger | None


def run_section(number: int, name: str, history: History) -> RunSection:
    run = history.run
    time = timeline(history)
    drawn = traffic(history, time.seconds, _BUCKETS_DRAWN_MAX)
    trial = f", trial {run['trial']}" if "trial" in run else ""
    return RunSection(
        id=f"run-{number}",
        name=name,
        href=quote(name),
        title=f"{run.get('scenario', 'a run that was not described')}{trial}, {time.seconds:.0f} s",
        about=f"{len(history):,} events. " + _phases(time),
        scenario=str(run.get("scenario", "—")),
        target=str(run.get("target", "—")),
        seed=str(run.get("seed", "—")),
        versions=", ".join(f"{part} {version}" for part, version in (run.get("versions") or {}).items()),
        width=f"{drawn.width_seconds:g}",
        time_figure=run_figure(f"run-{number}-time", time, drawn),
        tables=(
            _faults(time),
            _costs(costs(history)),
            _spans(time),
            _traffic(traffic(history, time.seconds, _BUCKETS_LISTED_MAX)),
        ),
        ledger=_ledger(f"run-{number}-ledger", attempts(history), time.seconds),
    )


def _phases(time: Timeline) -> str:
    if not time.phases:
        return ""
    return "Phases: " + ", ".join(f"{phase.words} from {phase.start:.0f} s" for phase in time.phases) + "."


def _faults(time: Timeline) -> Table:
    effects = {True: "yes", False: "no", None: "unknown"}
    rows = tuple(
        (
            f"F{fault.number}",
            fault.name,
            fault.class_,
            f"{fault.start:.2f}",
            f"{fault.end:.2f}",
            effects[fault.took_effect],
            fault.proof,
        )
        for fault in time.faults
    )
    columns = ("", "Fault", "Class", "From, s", "To, s", "Took effect", "Proof")
    return Table(f"Faults ({len(rows)})", columns, rows, frozenset({"From, s", "To, s"}))


def _costs(every: list[Cost]) -> Table:
    rows = tuple(
        (
            cost.fault,
            *(f"{count:,}" for count in (cost.requests, cost.failed, cost.unknown)),
            "—" if cost.longest_gap is None else f"{cost.longest_gap:.2f}",
            *("—" if value is None else f"{value:.1f}" for value in (cost.p50, cost.p95, cost.p99, cost.worst)),
        )
        for cost in every
    )
    numbers = ("Requests", "Failed", "Answer lost", "Longest gap, s", "p50, ms", "p95, ms", "p99, ms", "Max, ms")
    return Table("What each fault cost clients", ("Until the next fault", *numbers), rows, frozenset(numbers))


def _spans(time: Timeline) -> Table:
    spans = sorted([*time.terms, *time.unready, *time.starts], key=lambda span: (span.start, span.lane))
    rows = tuple((span.lane, span.words, f"{span.start:.2f}", f"{span.end:.2f}") for span in spans)
    name = f"Terms, starts and unreadiness ({len(rows)})"
    return Table(name, ("Replica", "What", "From, s", "To, s"), rows, frozenset({"From, s", "To, s"}))


def _traffic(seen: Traffic) -> Table:
    rows = tuple(
        (
            f"{bucket.start:g}",
            *(f"{count}" for count in (bucket.ok, bucket.failed, bucket.unknown)),
            *(f"{value:.1f}" for value in (bucket.p50, bucket.p95, bucket.worst) if value is not None),
        )
        for bucket in seen.buckets
        if bucket.ok + bucket.failed + bucket.unknown
    )
    columns = ("From, s", "Answered", "Failed", "Answer lost", "p50, ms", "p95, ms", "Max, ms")
    return Table(f"Requests, every {seen.width_seconds:g} s", columns, rows, frozenset(columns))


def _ledger(id_: str, every: list[Attempt], seconds: float) -> Ledger | None:
    if not every:
        return None
    drawn = thinned(every, _COMPLETED_DRAWN_MAX)
    counts = Counter((attempt.worker, attempt.outcome) for attempt in every)
    outcomes = tuple(outcome for outcome in OUTCOMES if any(outcome == seen for _, seen in counts))
    about = f"All {len(every):,} attempts are drawn."
    if len(drawn) < len(every):
        about = (
            f"Of {len(every):,} attempts {len(drawn):,} are drawn: every one that did not end as {ORDINARY}, evenly "
            "spread ones of the others, and each worker's slowest."
        )
    rows = tuple(
        WorkerRow(worker, tuple(counts[worker, outcome] for outcome in outcomes))
        for worker in sorted({attempt.worker for attempt in every})
    )
    return Ledger(ledger_figure(id_, drawn, len(every), seconds), about, outcomes, rows)

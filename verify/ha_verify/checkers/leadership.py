"""Who led when: from the terms and rounds in the database, and from what was seen meanwhile."""

from collections import defaultdict
from dataclasses import replace
from itertools import pairwise

from ha_verify.checkers.bounds import succession, timing_of
from ha_verify.checkers.injected import Injected, injected, leader_at
from ha_verify.findings import Finding, Violation, table_evidence
from ha_verify.history import Event, History

CLOCK_SECONDS = 0.05
HARMLESS = ("clock",)  # classes of faults that are no reason to change the leader


def one_leader(history: History) -> Finding:
    """An epoch has one holder, epochs grow with time, and nobody is succeeded while nothing is wrong with it."""
    terms = sorted(history.rows("leadership_terms"), key=lambda row: row["epoch"])
    evidence = table_evidence(history, "leadership_terms")
    holders: dict[int, set[str]] = defaultdict(set)
    for row in [*terms, *history.rows("singleton_ticks")]:
        holders[row["epoch"]].add(row["holder"])
    violations = [
        Violation(f"epoch {epoch} was held by {', '.join(sorted(names))}", evidence)
        for epoch, names in holders.items()
        if len(names) > 1
    ]
    for earlier, later in pairwise(terms):
        if later["started_at"] < earlier["started_at"]:
            violations.append(Violation(f"epoch {later['epoch']} began before {earlier['epoch']}", evidence))
    violations += _steps_back(history)
    violations += _without_cause(history, evidence)
    return Finding("one-leader", len(terms), tuple(violations))


def fenced(history: History) -> Finding:
    """Rounds of the leader's loops are written in the order of epochs: none of an older behind one of a newer.

    The overlap is how long after the newer term's first round the last of these was written: zero without one.
    """
    newest, newest_since = 0, 0.0
    overlap_seconds = 0.0
    violations = []
    rows = sorted(history.rows("singleton_ticks"), key=lambda row: row["id"])
    for row in rows:
        if row["epoch"] < newest:
            message = f"{row['holder']} wrote a round of {row['loop']} under epoch {row['epoch']}, after {newest} began"
            violations.append(Violation(message, table_evidence(history, "singleton_ticks")))
            overlap_seconds = max(overlap_seconds, row["at"] - newest_since)
        elif row["epoch"] > newest:
            newest, newest_since = row["epoch"], row["at"]
    figures = {"rounds by a leader that was succeeded": len(violations), "overlap, s": overlap_seconds}
    return Finding("fenced", len(rows), tuple(violations), figures=figures)


def failover(history: History) -> Finding:
    """From a fault that ends a term to the beginning of the next, against the bound of its class."""
    faults = of_leaders(history)
    if not history.saw("leadership_terms"):
        return Finding("failover", 0)
    starts = sorted(row["started_at"] for row in history.rows("leadership_terms"))
    seconds_by_fault: dict[str, list[float]] = defaultdict(list)
    worst = (0.0, 1.0)  # seconds and their bound, by the share of it
    violations = []
    for fault in faults:
        bound = succession(fault, timing_of(history))
        began = next((at for at in starts if at >= fault.struck_wall), None)
        if began is None:
            violations.append(Violation(f"{fault.name}: no leader followed", fault.evidence))
            continue
        seconds = began - fault.struck_wall
        seconds_by_fault[fault.name].append(seconds)
        worst = max(worst, (seconds, bound), key=lambda pair: pair[0] / pair[1])
        if seconds > bound:
            message = f"{fault.name}: the next leader came after {seconds:.2f} s, not within {bound:g} s"
            violations.append(Violation(message, fault.evidence))
    finding = Finding("failover", len(faults), tuple(violations), unit="s", figures=dict(seconds_by_fault))
    return replace(finding, measured=worst[0], bound=worst[1]) if seconds_by_fault else finding


def of_leaders(history: History) -> list[Injected]:
    """The faults that cost a leader its term: it was ended, or paused or cut off for longer than its lease."""
    lease_seconds = timing_of(history).lease
    found = []
    for fault in injected(history):
        if fault.class_ in ("leader-kill", "leader-term", "leader-delete", "node-loss", "database-and-leader"):
            found.append(fault)
        elif fault.class_ in ("leader-pause", "node-pause", "partition", "api-partition"):
            held_seconds = (fault.heal_began or fault.window_end) - fault.began
            leader = leader_at(history, fault.began)
            if held_seconds > lease_seconds and leader is not None and leader["replica"] == fault.replica:
                found.append(fault)
    return found


def _steps_back(history: History) -> list[Violation]:
    """Epochs of terms that were seen one after the other.

    What a former primary of the database still tells, which woke on an older timeline, is old and no step: whoever
    would write there is held to `one-writable-primary`.
    """
    seen: list[Event] = []
    for event in history.of("leader"):
        is_told = event.error is None and event.value
        if is_told and (not seen or event.value["timeline"] >= seen[-1].value["timeline"]):
            seen.append(event)
    violations = []
    for earlier, later in pairwise(seen):
        if later.value["epoch"] < earlier.value["epoch"]:
            message = f"epoch {later.value['epoch']} was seen after {earlier.value['epoch']}"
            violations.append(Violation(message, (earlier.index, later.index)))
    return violations


def _without_cause(history: History, evidence: tuple[int, ...]) -> list[Violation]:
    """Terms that began while no fault was on, nor had been for the time that it takes to settle."""
    timing = timing_of(history)
    settle_seconds = timing.lease + 2 * timing.retry + timing.start
    run_began = history[0].wall if len(history) else 0.0
    shadows = [
        (fault.began_wall, run_began + (fault.healed or fault.window_end) + settle_seconds)
        for fault in injected(history)
        if fault.class_ not in HARMLESS
    ]
    terms = sorted(history.rows("leadership_terms"), key=lambda row: row["epoch"])
    return [
        Violation(f"epoch {term['epoch']} began although nothing was wrong with the leader of the one before", evidence)
        for term in terms[1:]
        if term["started_at"] > run_began + CLOCK_SECONDS
        and not any(began <= term["started_at"] <= end for began, end in shadows)
    ]

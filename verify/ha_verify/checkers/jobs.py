"""What became of the jobs: effects, ends, claims, keys. Read from the queue's own tables."""

import itertools
from collections import Counter, defaultdict
from typing import Any

from ha_verify.checkers.bounds import timing_of
from ha_verify.findings import Finding, Violation, table_evidence
from ha_verify.history import History

# Two clocks of one database are read in one order and compared in another by concurrent statements.
CLOCK_SECONDS = 0.02


def effects_once(history: History) -> Finding:
    """The effect of each probe is there once if its job is completed, and not at all if it is not."""
    if not all(history.saw(table) for table in ("jobs", "job_attempts", "probe_effects")):
        return Finding("effects-once", 0)
    effects = Counter(row["value"] for row in history.rows("probe_effects"))
    jobs = {row["payload"]["value"]: row for row in history.rows("jobs") if row["kind"] == "probe"}
    evidence = table_evidence(history, "probe_effects")
    violations = [
        Violation(f"the effect of {value!r} happened {count} times", evidence)
        for value, count in effects.items()
        if count > 1
    ]
    for value, job in jobs.items():
        count, completed = effects[value], job["state"] == "completed"
        if completed and not count:
            violations.append(Violation(f"job {job['id']} ({value!r}) is completed without its effect", evidence))
        elif count and not completed:
            state = f"job {job['id']} ({value!r}) took effect and is {job['state']}"
            violations.append(Violation(state, evidence))
    completions = Counter(row["job_id"] for row in history.rows("job_attempts") if row["outcome"] == "completed")
    for job_id, count in completions.items():
        if count > 1:
            violations.append(
                Violation(f"job {job_id} was completed {count} times", table_evidence(history, "job_attempts"))
            )
    return Finding(
        "effects-once",
        len(effects.keys() | jobs.keys()),
        tuple(violations),
        figures={"completed jobs": len(completions)},
    )


def finish(history: History) -> Finding:
    """Every job that was accepted is completed at the end: in the queue, or in its ledger if it was cleaned up."""
    states = {row["id"]: row["state"] for row in history.rows("jobs")}
    completed = {row["job_id"] for row in history.rows("job_attempts") if row["outcome"] == "completed"}
    accepted: dict[int, tuple[int, int]] = {}
    for operation in history.operations("write", "refresh"):
        if operation.outcome == "ok" and operation.completion is not None:
            shown = (operation.invoke.index, operation.completion.index)
            accepted.setdefault(int(operation.completion.value["job"]), shown)
    if not (history.saw("jobs") and history.saw("job_attempts")):
        return Finding("jobs-finish", 0)
    violations = []
    for job_id, evidence in accepted.items():
        state = states.get(job_id)
        if state is None and job_id not in completed:
            violations.append(Violation(f"the accepted job {job_id} is gone", evidence))
        elif state not in (None, "completed"):
            violations.append(Violation(f"the accepted job {job_id} is {state}", evidence))
    return Finding("jobs-finish", len(accepted), tuple(violations))


def claims_exclusive(history: History) -> Finding:
    """Of one job, a claim begins only after the one before has ended, and every claim ends exactly once.

    A claim that was rescued had been silent for its lease: one that was rescued earlier was still valid, and the
    next claim overlaps with it.
    """
    if not history.saw("job_attempts"):
        return Finding("claims-exclusive", 0)
    lease_seconds = timing_of(history).claim_lease
    attempts: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in history.rows("job_attempts"):
        attempts[row["job_id"]].append(row)
    evidence = table_evidence(history, "job_attempts")
    violations = []
    for job_id, rows in attempts.items():
        rows.sort(key=lambda row: row["token"])
        for row, following in itertools.pairwise(rows):
            if following["claimed_at"] < row["finished_at"] - CLOCK_SECONDS:
                violations.append(
                    Violation(f"job {job_id}: claims {row['token']} and {following['token']} overlap", evidence)
                )
        for row in rows:
            held_seconds = row["finished_at"] - row["claimed_at"]
            if row["outcome"] == "rescued" and held_seconds < lease_seconds - CLOCK_SECONDS:
                message = f"job {job_id}: claim {row['token']} was taken back after {held_seconds:.2f} s, while valid"
                violations.append(Violation(message, evidence))
    for job in history.rows("jobs"):
        ended, is_over = len(attempts[job["id"]]), job["state"] in ("completed", "dead", "cancelled")
        if is_over and ended < job["attempt"]:
            message = f"job {job['id']} was claimed {job['attempt']} times, but {ended} claims ended: one was overrun"
            violations.append(Violation(message, evidence))
    trials = sum(len(rows) for rows in attempts.values())
    return Finding("claims-exclusive", trials, tuple(violations))


def deduplicated(history: History) -> Finding:
    """Of the refreshes of one source, each is queued after the one before has ended."""
    refreshes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in history.rows("jobs"):
        if row["kind"] == "refresh":
            refreshes[row["payload"]["source_id"]].append(row)
    evidence = table_evidence(history, "jobs")
    violations = []
    for source, rows in refreshes.items():
        rows.sort(key=lambda row: (row["created_at"], row["id"]))
        for row, following in itertools.pairwise(rows):
            if row["finished_at"] is None or following["created_at"] < row["finished_at"] - CLOCK_SECONDS:
                both = f"jobs {row['id']} and {following['id']}"
                violations.append(Violation(f"source {source!r} was queued twice at once: {both}", evidence))
    return Finding("dedupe", sum(len(rows) for rows in refreshes.values()), tuple(violations))

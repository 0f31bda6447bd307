"""Schema versions and starts."""

from ha_verify.checkers.bounds import recovery, timing_of
from ha_verify.checkers.injected import injected
from ha_verify.findings import Finding, Violation, table_evidence
from ha_verify.history import History

# How a session of the server's command line calls itself: by it a scenario puts a schema there, and no replica starts.
_COMMAND = "/cli"


def once(history: History) -> Finding:
    """Each version is in the history table once, and what changes the schema holds the lock, alone.

    Of replicas that start at once, one changes the schema; a second does only where the first was killed at it, or
    its session with the database.
    """
    rows = history.rows("schema_migrations")
    evidence = table_evidence(history, "schema_migrations")
    numbers = sorted(row["number"] for row in rows)
    violations = []
    if rows and numbers != list(range(1, len(numbers) + 1)):
        violations.append(Violation(f"the schema versions are {numbers}", evidence))
    writers: dict[str, int] = {}
    for event in history.of("locks"):
        sessions = event.value or []
        holding = {session["pid"] for session in sessions if session["granted"]}
        if len(holding) > 1:
            violations.append(Violation(f"{len(holding)} sessions held the migration lock at once", (event.index,)))
        for session in sessions:
            if session.get("writes"):
                if not session["holder"].endswith(_COMMAND):
                    writers.setdefault(session["holder"], event.index)
                if not session["granted"]:
                    message = f"{session['holder']} changed the schema without the lock"
                    violations.append(Violation(message, (event.index,)))
    killed = sum(bool(fault.proof.get("killed")) for fault in injected(history))
    if len(writers) > 1 + killed:
        message = f"the schema was changed by {len(writers)} sessions: {', '.join(writers)}"
        violations.append(Violation(message, tuple(writers.values())))
    return Finding("migrations-once", len(rows), tuple(violations))


def starts_up(history: History) -> Finding:
    """Every replica that was started became ready, within the bound for a start.

    Where the database was away meanwhile, that and the time to find it again is added.
    """
    bound = timing_of(history).start
    seconds = []
    violations = []
    for event in history.of("startup"):
        replica = event.value["replica"]
        if "failed" in event.value:
            violations.append(Violation(f"{replica} did not start: {event.value['failed']}", (event.index,)))
            continue
        ready_after = event.value["ready_after_seconds"]
        seconds.append(max(0.0, ready_after - _away_seconds(history, event.seconds)))
        if seconds[-1] > bound:
            message = f"{replica} was ready after {ready_after:.1f} s, not within {bound:g} s"
            violations.append(Violation(message, (event.index,)))
    return Finding(
        "starts-up",
        len(history.of("startup")),
        tuple(violations),
        measured=max(seconds, default=None),
        bound=bound,
        unit="s",
    )


def _away_seconds(history: History, at: float) -> float:
    """How long a replica that became ready then had to do without a database, by what was done to that."""
    timing = timing_of(history)
    return sum(
        fault.writable - fault.struck + recovery(fault.class_, timing).seconds
        for fault in injected(history)
        if fault.class_ == "database-and-migration" and fault.began < at <= fault.window_end
    )

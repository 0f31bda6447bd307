"""A replica that can not serve says so."""

from ha_verify.checkers.bounds import timing_of
from ha_verify.checkers.injected import Injected, injected
from ha_verify.findings import Finding, Violation
from ha_verify.history import History

SAMPLE_SECONDS = 2.0  # between two looks, and for the answer


def tells(history: History) -> Finding:
    """While the database is away from a replica for long enough, the replica is seen to be not ready.

    Long enough is the deadline of a database call and two looks at the replica.
    """
    notice_seconds = timing_of(history).database_deadline + SAMPLE_SECONDS
    trials = 0
    violations = []
    for fault in injected(history):
        outage_end = _outage_end(fault)
        if outage_end is None or outage_end - fault.began < notice_seconds:
            continue
        told = [
            event
            for event in history.of("readiness")
            if not event.value["ready"]
            and fault.began <= event.seconds <= outage_end + SAMPLE_SECONDS
            and fault.replica in (None, event.value["replica"])
        ]
        trials += 1
        if not told:
            whom = fault.replica or "any replica"
            violations.append(Violation(f"{fault.name}: {whom} was not seen to be not ready", fault.evidence))
    return Finding("readiness-tells", trials, tuple(violations))


def _outage_end(fault: Injected) -> float | None:
    """When a replica could reach the database again; None where the fault does not take it away."""
    # Not where connections are exhausted: a replica may have kept, or regained, the one that it asks with.
    if fault.class_ in ("partition", "database-pause"):
        return fault.heal_began or fault.window_end
    return None

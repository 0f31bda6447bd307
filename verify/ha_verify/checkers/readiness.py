"""A replica that can not serve says so."""

from ha_verify.checkers.bounds import timing_of
from ha_verify.checkers.injected import Injected, injected
from ha_verify.findings import Finding, Violation
from ha_verify.history import Event, History

SAMPLE_SECONDS = 2.0  # between two looks, and for the answer


def tells(history: History) -> Finding:
    """While the database is away from a replica for long enough, the replica is not seen to be ready.

    Long enough is the deadline of a database call and two looks at the replica; each replica that was asked after
    that, and before the database could be reached again, is a trial.
    """
    notice_seconds = timing_of(history).database_deadline + SAMPLE_SECONDS
    trials = 0
    violations = []
    for fault in injected(history):
        for replica, answers in _answers(history, fault, fault.effective + notice_seconds).items():
            trials += 1
            claimed = [event for event in answers if event.value["ready"]]
            if claimed:
                message = f"{fault.name}: {replica} said that it was ready {len(claimed)} times"
                violations.append(Violation(message, (*fault.evidence, *(event.index for event in claimed))))
    return Finding("readiness-tells", trials, tuple(violations))


def _answers(history: History, fault: Injected, since: float) -> dict[str, list[Event]]:
    """What each replica that was without its database said in the end, by replica."""
    found: dict[str, list[Event]] = {}
    # Not where connections are exhausted: a replica may have kept, or regained, the one that it asks with.
    if fault.class_ in ("partition", "database-pause"):
        until = fault.heal_began or fault.window_end
        for event in history.of("readiness"):
            if since < event.seconds < until and fault.replica in (None, event.value["replica"]):
                found.setdefault(event.value["replica"], []).append(event)
    return found

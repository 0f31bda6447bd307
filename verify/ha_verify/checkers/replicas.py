"""All replicas serve the same data."""

from ha_verify.findings import Finding, Violation
from ha_verify.history import History


def agree(history: History) -> Finding:
    """The digests of what each replica serves at the end are equal."""
    events = history.of("checksum")
    digests = {event.value["digest"] for event in events if event.error is None}
    evidence = tuple(event.index for event in events)
    violations = [
        Violation(f"{event.value['replica']} served nothing at the end: {event.error}", (event.index,))
        for event in events
        if event.error is not None
    ]
    if len(digests) > 1:
        violations.append(Violation(f"{len(digests)} different catalogs are served", evidence))
    return Finding("replicas-agree", len(events) if len(events) > 1 else 0, tuple(violations))

"""No acknowledged write is lost."""

from ha_verify.findings import Finding, Violation
from ha_verify.history import History


def kept(history: History) -> Finding:
    """Every write that was acknowledged is in the table at the end, and is read back through the service.

    A write that was refused for certain and is there all the same is a violation too; one whose answer was lost may
    be either.
    """
    stored = {row["value"] for row in history.rows("probes")}
    table_seen = history.saw("probes")
    read_back = {
        operation.invoke.value["value"]: operation.completion
        for operation in history.operations("read-back")
        if operation.outcome == "ok" and operation.completion is not None
    }
    violations = []
    trials = unknown = 0
    for write in history.operations("write"):
        value = write.invoke.value["value"]
        evidence = (write.invoke.index, *([write.completion.index] if write.completion else []))
        answer = read_back.get(value)
        found = [value in stored] if table_seen else []
        found += [bool(answer.value["found"])] if answer else []
        if write.outcome == "info" or not found:
            unknown += 1
            continue
        trials += write.outcome == "ok"
        if write.outcome == "ok" and not all(found):
            shown = (*evidence, *([answer.index] if answer else []))
            violations.append(Violation(f"the acknowledged write {value!r} is gone", shown))
        if write.outcome == "fail" and any(found):
            violations.append(Violation(f"the write {value!r} was refused, and yet is there", evidence))
    return Finding("writes-kept", trials, tuple(violations), figures={"unknown": unknown})

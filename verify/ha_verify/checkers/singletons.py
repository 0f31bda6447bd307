"""The leader's loops: that they stop with the term, and go on with the next."""

from collections import defaultdict

from ha_verify.checkers.bounds import succession, timing_of
from ha_verify.checkers.injected import Injected, injected, leader_at
from ha_verify.checkers.leadership import of_leaders
from ha_verify.findings import Finding, Violation, table_evidence
from ha_verify.history import Event, History
from ha_verify.targets import Timing

# Counters are sampled twice a second, and a round that was under way may still be counted.
GRACE_SECONDS = 3.0
STRAY_ROUNDS = 2  # of one loop: the first may have been under way
# The leader can not renew its lease, and yet can write.
_UNRENEWED = ("api-partition", "api-server")


def resume(history: History) -> Finding:
    """After a change of leader a round is written within the bound of the succession, and a round's interval."""
    if not (history.saw("singleton_ticks") and history.saw("leadership_terms")):
        return Finding("singletons-resume", 0)
    timing = timing_of(history)
    rounds = sorted((row["at"], row["epoch"]) for row in history.rows("singleton_ticks"))
    gaps: dict[str, list[float]] = defaultdict(list)  # how long nobody acted as the leader, by fault
    worst = (0.0, 1.0)  # seconds and their bound, by the share of it
    violations = []
    for fault in of_leaders(history):
        before = max((epoch for at, epoch in rounds if at < fault.struck_wall), default=0)
        after = next((at for at, epoch in rounds if at >= fault.struck_wall and epoch > before), None)
        bound = succession(fault, timing) + timing.schedule + timing.retry
        if after is None:
            violations.append(Violation(f"{fault.name}: no loop went on", fault.evidence))
            continue
        seconds = after - fault.struck_wall
        gaps[fault.name].append(seconds)
        worst = max(worst, (seconds, bound), key=lambda pair: pair[0] / pair[1])
        if seconds > bound:
            message = f"{fault.name}: the loops went on after {seconds:.2f} s, not within {bound:g} s"
            violations.append(Violation(message, fault.evidence))
    if not of_leaders(history):
        return _undisturbed(history, rounds)
    return Finding(
        "singletons-resume",
        len(of_leaders(history)),
        tuple(violations),
        measured=worst[0] if gaps else None,
        bound=worst[1] if gaps else None,
        unit="s",
        figures=dict(gaps),
    )


def stop(history: History) -> Finding:
    """A replica that lost its lease counts no more rounds: not when it was cut off, nor when it woke up.

    A trial is a loss after which the replica was watched for long enough to see two rounds. Where the lease was out
    of reach and the database was not, rounds are rows: none is written once the lease has run out.
    """
    timing = timing_of(history)
    trials, violations, last_rounds = _unrenewed(history, timing)
    for fault in of_leaders(history):
        if fault.class_ == "partition":
            # Not renewed since, it gives up at the renew deadline; a round may then hang for its deadline.
            since = fault.struck + timing.renew_deadline + timing.database_deadline + GRACE_SECONDS
            until = fault.heal_began or fault.window_end
            round_seconds = timing.database_deadline + timing.schedule
        elif fault.class_ in ("leader-pause", "node-pause") and fault.healed is not None:
            since, until = fault.healed + GRACE_SECONDS, fault.window_end
            round_seconds = timing.schedule
        else:
            continue
        if until - since >= STRAY_ROUNDS * round_seconds:
            trials += 1
            violations += _strays(history, fault, since, until)
    return Finding("loops-stop", trials, tuple(violations), figures=last_rounds)


def _unrenewed(history: History, timing: Timing) -> tuple[int, list[Violation], dict[str, list[float]]]:
    """Trials, violations, and by fault how long after it the last round of its victim was written, in seconds."""
    trials = 0
    violations = []
    last_rounds: dict[str, list[float]] = defaultdict(list)
    for fault in injected(history):
        held_seconds = (fault.heal_began or fault.window_end) - fault.struck
        if fault.class_ not in _UNRENEWED or held_seconds < timing.lease or not history.saw("singleton_ticks"):
            continue
        trials += 1
        victim = fault.replica or fault.proof["led"]
        ended_wall = fault.struck_wall + held_seconds
        rounds = [
            row["at"] - fault.struck_wall
            for row in history.rows("singleton_ticks")
            if fault.struck_wall < row["at"] < ended_wall and row["holder"].split("/")[0] == victim
        ]
        last = max(rounds, default=0.0)
        last_rounds[f"{fault.name}: last round after, s"].append(last)
        if last > timing.lease:
            message = f"{fault.name}: {victim} wrote a round {last:.2f} s later, when the lease of {timing.lease:g} s"
            evidence = (*fault.evidence, *table_evidence(history, "singleton_ticks"))
            violations.append(Violation(f"{message} had run out", evidence))
    return trials, violations, dict(last_rounds)


def _strays(history: History, fault: Injected, since: float, until: float) -> list[Violation]:
    rounds: dict[str, list[Event]] = defaultdict(list)
    for event in history.of("ticks"):
        if event.value["replica"] == fault.replica and since < event.seconds < until:
            leader = leader_at(history, event.seconds)
            regained = leader is not None and leader["replica"] == fault.replica and fault.class_ != "partition"
            if not regained:
                rounds[event.value["loop"]].append(event)
    return [
        Violation(
            f"{fault.name}: {fault.replica} went on with {loop}, {len(events)} times",
            (*fault.evidence, *(event.index for event in events)),
        )
        for loop, events in rounds.items()
        if len(events) >= STRAY_ROUNDS
    ]


def _undisturbed(history: History, rounds: list[tuple[float, int]]) -> Finding:
    """Where leaders changed in another way, as in a rolling restart: a round of every term that lasted for one."""
    timing = timing_of(history)
    epochs = {epoch for _, epoch in rounds}
    terms = sorted(history.rows("leadership_terms"), key=lambda row: row["epoch"])[1:]
    lasting = [
        row
        for row in terms
        if row["ended_at"] is None or row["ended_at"] - row["started_at"] > timing.schedule + timing.retry
    ]
    violations = [Violation(f"no loop ran under epoch {row['epoch']}") for row in lasting if row["epoch"] not in epochs]
    return Finding("singletons-resume", len(lasting), tuple(violations))

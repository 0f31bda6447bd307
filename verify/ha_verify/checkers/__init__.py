"""Judges a recorded run: one pure function per claim, from a history to a finding.

Authority: what counts as a violation of each claim, and the bounds that recovery is held against (`bounds`).

Guarantees: a checker reads the history and nothing else, so the same history always gets the same finding. An
unknown outcome (`info`) is never taken for a success or a failure. What was not observed is not a trial.

Non-guarantee: times in tables are the database's, those of events the recorder's. They are compared across by wall
clock, which is exact where both run on one machine, and as good as its clocks are elsewhere.
"""

from collections.abc import Mapping

from ha_verify.checkers import availability, jobs, leadership, migrations, readiness, replicas, singletons, writes
from ha_verify.findings import Checker

CHECKERS: Mapping[str, Checker] = {
    "writes-kept": writes.kept,
    "effects-once": jobs.effects_once,
    "jobs-finish": jobs.finish,
    "claims-exclusive": jobs.claims_exclusive,
    "dedupe": jobs.deduplicated,
    "one-leader": leadership.one_leader,
    "fenced": leadership.fenced,
    "failover": leadership.failover,
    "singletons-resume": singletons.resume,
    "loops-stop": singletons.stop,
    "migrations-once": migrations.once,
    "starts-up": migrations.starts_up,
    "available": availability.available,
    "latency": availability.latency,
    "recovers": availability.recovers,
    "readiness-tells": readiness.tells,
    "replicas-agree": replicas.agree,
}

__all__ = ["CHECKERS"]

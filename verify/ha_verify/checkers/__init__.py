"""Judges a recorded run: one pure function per claim, from a history to a finding.

Authority: what counts as a violation of each claim, and the bounds that recovery is held against (`bounds`).

Guarantees: a checker reads the history and nothing else, so the same history always gets the same finding. An
unknown outcome (`info`) is never taken for a success or a failure. What was not observed is not a trial.

Non-guarantee: times in tables are the database's, those of events the recorder's. They are compared across by wall
clock, which is exact where both run on one machine, and as good as its clocks are elsewhere.
"""

from collections.abc import Mapping

from ha_verify.checkers.availability import available, latency, recovers
from ha_verify.checkers.database import no_restart, one_writable_primary, rejoin, writes_return
from ha_verify.checkers.disaster import exact_moment, one_moment, rpo, rto
from ha_verify.checkers.jobs import claims_exclusive, deduplicated, effects_once, finish
from ha_verify.checkers.leadership import failover, fenced, one_leader
from ha_verify.checkers.migrations import once, starts_up
from ha_verify.checkers.readiness import tells
from ha_verify.checkers.replicas import agree
from ha_verify.checkers.singletons import resume, stop
from ha_verify.checkers.writes import kept
from ha_verify.findings import Checker

CHECKERS: Mapping[str, Checker] = {
    "writes-kept": kept,
    "effects-once": effects_once,
    "jobs-finish": finish,
    "claims-exclusive": claims_exclusive,
    "dedupe": deduplicated,
    "one-leader": one_leader,
    "fenced": fenced,
    "failover": failover,
    "singletons-resume": resume,
    "loops-stop": stop,
    "migrations-once": once,
    "starts-up": starts_up,
    "available": available,
    "latency": latency,
    "recovers": recovers,
    "readiness-tells": tells,
    "one-writable-primary": one_writable_primary,
    "database-recovers": writes_return,
    "rejoins": rejoin,
    "no-restart": no_restart,
    "rto": rto,
    "rpo": rpo,
    "one-moment": one_moment,
    "exact-moment": exact_moment,
    "replicas-agree": agree,
}

__all__ = ["CHECKERS"]

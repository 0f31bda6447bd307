"""What is claimed, in words. Every finding is about one of these."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """One promise. `requirements` are the identifiers of the requirements it stands for.

    A promise of safety is held against every run. The others are held against the runs that set out to try them:
    what a fault may cost is known for the faults of those.
    """

    key: str
    words: str
    requirements: tuple[str, ...]
    safety: bool = False


_ALL = (
    Claim("writes-kept", "No acknowledged write is lost", ("C6", "H4"), safety=True),
    Claim("effects-once", "Every job's effect happens exactly once", ("C4", "C6", "C8"), safety=True),
    Claim("jobs-finish", "No accepted job is lost", ("C4", "C8")),
    Claim("claims-exclusive", "Valid claims of a job never overlap", ("C4",), safety=True),
    Claim("dedupe", "A source is never queued for refresh twice at once", ("C4",), safety=True),
    Claim("one-leader", "At most one leader may write in any epoch, and epochs only grow", ("C3", "C7"), safety=True),
    Claim("fenced", "A leader that was succeeded writes nothing more", ("C3", "C7"), safety=True),
    Claim("failover", "A new leader is there within lease + retry period", ("C7",)),
    Claim("singletons-resume", "The leader's loops resume after a change of leader", ("C7",)),
    Claim("loops-stop", "Loops stop when the lease is lost: two replicas never tick at once", ("C3",)),
    Claim("migrations-once", "Each schema version is applied once, by one instance at a time", ("C2",), safety=True),
    Claim("starts-up", "Every replica starts: no deadlock, within its bound", ("C2", "C6")),
    Claim("available", "The service answers throughout", ("C6", "C7", "H6")),
    Claim("latency", "Latency stays within its bound outside of database outages", ("C6",)),
    Claim("recovers", "After each fault clients are served again within the bound for its class", ("C5", "C7")),
    Claim("readiness-tells", "A replica that can not serve says so", ("C5",)),
    Claim(
        "one-writable-primary",
        "At most one member of the database takes writes, and timelines only grow",
        ("H4",),
        safety=True,
    ),
    Claim("database-recovers", "Writes are acknowledged again in time when the database changes", ("H4", "H9", "M4")),
    Claim("rejoins", "A member of the database that was away comes back as a replica", ("H4",)),
    Claim("no-restart", "No replica has to be restarted when the database changes", ("C5", "H4")),
    Claim("rto", "After a disaster who follows the runbook serves again within the objective", ("H8",)),
    Claim("rpo", "A disaster costs no more acknowledged writes than its method allows", ("H8", "P5")),
    Claim("one-moment", "What is restored is the database of one moment, and goes on from there", ("P5",)),
    Claim("exact-moment", "A return to a moment brings back exactly the rows of that moment", ("P5",)),
    Claim("replicas-agree", "All replicas serve the same data at the end", ("C6",)),
)
CLAIMS = {claim.key: claim for claim in _ALL}

"""Every metric of the server, by name.

Gauges of shared state (jobs by state) are set when /metrics is read; all others where the event happens.
"""

from prometheus_client import Counter, Gauge, Histogram

_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

HTTP_REQUESTS = Counter("catalog_http_requests_total", "Requests answered", ["method", "route", "status"])
HTTP_LATENCY = Histogram(
    "catalog_http_request_duration_seconds", "Time to answer", ["method", "route"], buckets=_LATENCY_BUCKETS
)
HTTP_IN_FLIGHT = Gauge("catalog_http_requests_in_flight", "Requests being answered")

POOL_SIZE = Gauge("catalog_database_pool_size", "Connections a pool may have", ["pool"])
POOL_IN_USE = Gauge("catalog_database_pool_in_use", "Connections at work", ["pool"])
DEADLINES_MISSED = Counter("catalog_database_deadlines_missed_total", "Calls ended by their deadline", ["pool"])

READS = Counter("catalog_reads_total", "Catalog reads answered, from the primary or the standby", ["where"])
READ_FALLBACKS = Counter(
    "catalog_read_fallbacks_total", "Catalog reads that the standby could have answered but for the reason", ["reason"]
)
STANDBY_LAG = Gauge(
    "catalog_standby_lag_seconds", "Age of what the standby shows, at most; +Inf if that can not be known"
)

JOBS = Gauge("catalog_jobs", "Jobs in the shared queue", ["state"])
JOBS_FINISHED = Counter("catalog_job_attempts_total", "Attempts ended here", ["kind", "outcome"])
JOB_PICKUP = Histogram(
    "catalog_job_pickup_seconds", "From when a job could run to its start", ["kind"], buckets=_LATENCY_BUCKETS
)
STALE_CLAIMS = Counter("catalog_stale_claims_total", "Ends refused because the claim was no longer held", ["what"])
CLAIMS_RESCUED = Counter("catalog_claims_rescued_total", "Stale claims of silent workers taken back")

LEADER = Gauge("catalog_leader", "1 while this replica leads")
LEADER_EPOCH = Gauge("catalog_leader_epoch", "Epoch of the latest term of this replica")
LEADER_TRANSITIONS = Counter("catalog_leader_transitions_total", "Terms begun or ended here", ["what"])
FENCED_WRITES = Counter("catalog_fenced_writes_total", "Singleton transactions refused as stale", ["loop"])
SINGLETON_TICKS = Counter("catalog_singleton_ticks_total", "Rounds of a leader-only loop", ["loop", "outcome"])

MIGRATIONS_PENDING = Gauge("catalog_migrations_pending", "Schema versions not yet applied")
READY = Gauge("catalog_ready", "1 while /readyz answers 200")

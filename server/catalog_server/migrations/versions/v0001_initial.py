"""Sources and their models, the job queue with its ledger, leadership, and the table of replicas."""

from catalog_server.migrations.version import Version

_POSTGRESQL = """
CREATE TABLE replicas (
    id text PRIMARY KEY,                    -- one per process start, never a host or pod name
    name text NOT NULL,
    server_version text NOT NULL,
    schema_head integer NOT NULL,           -- newest schema version this server knows
    url text,
    ready boolean NOT NULL,
    started_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL
);

CREATE TABLE leadership_leases (            -- the database backend's leases
    name text PRIMARY KEY,
    holder text NOT NULL,                   -- empty: released
    epoch bigint NOT NULL,                  -- the epoch the holder takes or has taken
    duration_seconds double precision NOT NULL,
    version bigint NOT NULL,                -- grows with every write: compare-and-swap
    acquired_at timestamptz NOT NULL,
    renewed_at timestamptz NOT NULL
);
CREATE TABLE leadership_epochs (            -- the fence, for every backend
    name text PRIMARY KEY,
    epoch bigint NOT NULL
);
CREATE TABLE leadership_terms (             -- who led when, for people and for checkers
    name text NOT NULL,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    PRIMARY KEY (name, epoch)
);

CREATE TABLE catalog_sources (
    id text PRIMARY KEY,
    position integer NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    asset_type text NOT NULL,
    enabled boolean NOT NULL,
    labels jsonb NOT NULL,
    included_models jsonb NOT NULL,
    excluded_models jsonb NOT NULL,
    properties jsonb NOT NULL,
    status text NOT NULL,
    error text,
    revision text,                          -- hash of the content that is served
    etag text,
    last_modified text,
    refresh_interval_seconds double precision NOT NULL,
    refreshed_at timestamptz
);
CREATE TABLE catalog_labels (
    position integer PRIMARY KEY,
    asset_type text NOT NULL,
    name text,
    document jsonb NOT NULL
);
CREATE TABLE catalog_models (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source_id text NOT NULL REFERENCES catalog_sources (id) ON DELETE CASCADE,
    name text NOT NULL,
    search_text text NOT NULL,              -- lower case: name, description, provider, libraryName, tasks
    accuracy double precision,
    document jsonb NOT NULL,                -- the model as served, without id, source and times
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL,
    UNIQUE (source_id, name)
);
CREATE TABLE catalog_artifacts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id bigint NOT NULL REFERENCES catalog_models (id) ON DELETE CASCADE,
    document jsonb NOT NULL,
    created_ms bigint NOT NULL,
    updated_ms bigint NOT NULL
);
CREATE INDEX catalog_artifacts_model ON catalog_artifacts (model_id);

CREATE SEQUENCE job_claim_tokens;           -- only grows: a later claim has a greater token
CREATE TABLE jobs (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    state text NOT NULL CHECK (state IN ('available', 'running', 'completed', 'dead', 'cancelled')),
    priority smallint NOT NULL,             -- lower runs first
    dedupe_key text,
    run_at timestamptz NOT NULL,
    attempt integer NOT NULL,               -- claims so far
    max_attempts integer NOT NULL,
    claim_token bigint,
    worker_id text,
    claimed_at timestamptz,
    claim_expires_at timestamptz,
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    last_error text,
    CHECK ((state = 'running') = (claim_expires_at IS NOT NULL))
);
CREATE UNIQUE INDEX jobs_live_dedupe ON jobs (kind, dedupe_key) WHERE state IN ('available', 'running');
CREATE INDEX jobs_claimable ON jobs (priority, run_at, id) WHERE state = 'available';
CREATE INDEX jobs_stale ON jobs (claim_expires_at) WHERE state = 'running';
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE state IN ('completed', 'dead', 'cancelled');

CREATE TABLE job_attempts (                 -- the execution ledger: one row per claim that has ended
    token bigint PRIMARY KEY,               -- a claim ends once
    job_id bigint NOT NULL,                 -- no foreign key: the ledger outlives the job
    attempt integer NOT NULL,
    worker_id text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('completed', 'failed', 'rescued', 'released', 'cancelled')),
    claimed_at timestamptz NOT NULL,
    finished_at timestamptz NOT NULL,
    error text
);
CREATE INDEX job_attempts_job ON job_attempts (job_id);
CREATE INDEX job_attempts_finished ON job_attempts (finished_at);
"""

# SQLite has no sequences: a one-row table counts claims. Times are ISO 8601 text in UTC, JSON is text.
_SQLITE = (
    _POSTGRESQL.replace("timestamptz", "text")
    .replace("jsonb", "text")
    .replace("bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "integer PRIMARY KEY AUTOINCREMENT")
    .replace(
        "CREATE SEQUENCE job_claim_tokens;",
        "CREATE TABLE job_claim_tokens (last bigint NOT NULL);\nINSERT INTO job_claim_tokens VALUES (0);",
    )
)

_TABLES = (
    "job_attempts",
    "jobs",
    "catalog_artifacts",
    "catalog_models",
    "catalog_labels",
    "catalog_sources",
    "leadership_terms",
    "leadership_epochs",
    "leadership_leases",
    "replicas",
)
_DROP = "".join(f"DROP TABLE {table};\n" for table in _TABLES)

VERSION = Version(
    number=1,
    name="initial",
    oldest_server_head=1,
    upgrade={"postgresql": _POSTGRESQL, "sqlite": _SQLITE},
    downgrade={
        "postgresql": _DROP + "DROP SEQUENCE job_claim_tokens;\n",
        "sqlite": _DROP + "DROP TABLE job_claim_tokens;\n",
    },
)

"""What a verification counts from outside: probes with their effects, and every round of the leader's loops."""

from catalog_server.migrations.version import Version

_POSTGRESQL = """
CREATE TABLE probes (                       -- acknowledged writes
    value text PRIMARY KEY,
    created_at timestamptz NOT NULL
);
CREATE TABLE probe_effects (                -- one row per effect: nothing here hides a second one
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    value text NOT NULL,
    job_id bigint NOT NULL,
    token bigint NOT NULL,
    worker_id text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX probe_effects_value ON probe_effects (value);
CREATE TABLE singleton_ticks (              -- one row per round; the epoch never goes down as ids go up
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    loop text NOT NULL,
    epoch bigint NOT NULL,
    holder text NOT NULL,
    at timestamptz NOT NULL
);
CREATE INDEX singleton_ticks_at ON singleton_ticks (at);
"""

_SQLITE = _POSTGRESQL.replace("timestamptz", "text").replace(
    "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY", "integer PRIMARY KEY AUTOINCREMENT"
)

_DROP = "DROP TABLE singleton_ticks;\nDROP TABLE probe_effects;\nDROP TABLE probes;\n"

VERSION = Version(
    number=2,
    name="probes",
    oldest_server_head=1,
    upgrade={"postgresql": _POSTGRESQL, "sqlite": _SQLITE},
    downgrade={"postgresql": _DROP, "sqlite": _DROP},
)

"""Which settings exist, which values are valid, and what an invalid one is told.

Authority: settings are read here and nowhere else. Every other room receives a validated, frozen `Settings`.

Sources, later ones win: defaults, the YAML file named by `CATALOG_CONFIG_FILE`, files named by
`CATALOG_<SECRET>_FILE` (secrets only), environment variables `CATALOG_<FIELD>`.

Guarantee: `load_settings` either returns settings that passed every check, or raises `InvalidConfiguration`
with *all* problems, each naming the field, the value (secrets masked) and the remedy.
"""

import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, Field, SecretStr, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ENV_PREFIX = "CATALOG_"
CONFIG_FILE_VARIABLE = f"{ENV_PREFIX}CONFIG_FILE"
SECRET_FIELDS = ("database_dsn", "migrations_dsn", "read_dsn", "auth_secret")
FIXED_FIELDS = ("http_host", "http_port", "replica_name", "log_level")  # a change needs a new process

# Kubernetes puts addresses of Services into the environment of every pod; a Service whose name begins with
# "catalog" would look like an unknown setting.
_SERVICE_LINK = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$")


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the configuration, in words for the person who can mend it."""

    field: str
    value: str
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.field} = {self.value}: {self.message}. {self.remedy}"


class InvalidConfiguration(Exception):
    """The configuration as a whole was refused; `problems` names every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


def _refuse(message: str, remedy: str) -> PydanticCustomError:
    """An error that brings its remedy; a rule over several fields names the one to change before a colon."""
    return PydanticCustomError("refused", "{problem}", {"problem": message, "remedy": remedy})


def _database_dsn(value: SecretStr) -> SecretStr:
    if not value.get_secret_value().startswith(("postgresql://", "postgres://", "sqlite:///")):
        raise _refuse(
            "not a database address",
            "Use postgresql://user:password@host:port/name, or sqlite:///path for a single replica",
        )
    return value


def _postgresql_dsn(value: SecretStr | None) -> SecretStr | None:
    if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
        raise _refuse("not a PostgreSQL address", "Use postgresql://user:password@host:port/name, or leave it out")
    return value


def _long_enough(value: SecretStr | None) -> SecretStr | None:
    if value is not None and len(value.get_secret_value().encode()) < 32:
        raise _refuse("shorter than 32 bytes", "Generate one: openssl rand -base64 48")
    return value


Seconds = Annotated[float, Field(gt=0, le=86_400 * 365)]


class Settings(BaseSettings):
    """Validated settings of one replica. Durations are in seconds, sizes in the unit their name ends with."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True, case_sensitive=False)

    replica_name: str = Field(
        default_factory=socket.gethostname,
        min_length=1,
        description="Name of this replica in logs and tables",
    )
    http_host: str = Field("127.0.0.1", description="Address to listen on; loopback unless told otherwise")
    http_port: int = Field(8080, ge=1, le=65535, description="Port to listen on")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least severe level logged")

    database_dsn: Annotated[SecretStr, AfterValidator(_database_dsn)] = Field(
        description="PostgreSQL URI (several hosts allowed), or sqlite:///path for a single replica"
    )
    migrations_dsn: Annotated[SecretStr | None, AfterValidator(_postgresql_dsn)] = Field(
        None, description="Direct PostgreSQL URI for migrations where database_dsn goes through a pooler"
    )
    read_dsn: Annotated[SecretStr | None, AfterValidator(_postgresql_dsn)] = Field(
        None, description="PostgreSQL URI of a streaming replica that answers catalog reads while it is fresh"
    )
    read_staleness_seconds: float = Field(
        5.0, ge=1, le=600, description="Catalog reads see a state that is at most so old, or the primary's"
    )
    database_pool_size: int = Field(4, ge=1, le=64, description="Connections that serve HTTP requests")
    database_deadline_seconds: Seconds = Field(5.0, description="Client-side deadline of every database call")
    database_connect_timeout_seconds: Seconds = Field(2.0, description="Deadline to connect to one database host")

    migrations: Literal["auto", "wait", "off"] = Field(
        "auto",
        description="auto: apply pending versions under the lock; wait: until another does; off: neither",
    )
    migrations_wait_seconds: Seconds = Field(300.0, description="Longest wait for another replica's migration")

    leadership_backend: Literal["database", "kubernetes", "none"] = Field(
        "database", description="Where the lease lives; none: a single replica that always leads"
    )
    leadership_lease_name: str = Field(
        "catalog-server",
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        description="Name of the lease that replicas compete for",
    )
    leadership_namespace: str | None = Field(
        None, description="Namespace of the Kubernetes Lease; default: the pod's own, or the kubeconfig context's"
    )
    leadership_lease_seconds: Seconds = Field(15.0, description="How long others wait for a silent leader")
    leadership_renew_deadline_seconds: Seconds = Field(10.0, description="A leader that cannot renew gives up after")
    leadership_retry_seconds: Seconds = Field(2.0, description="Pause between attempts to take or renew the lease")

    state_configmap: str | None = Field(
        None,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        description="ConfigMap beside the Kubernetes Lease in which the leader records its state; none: not recorded",
    )

    jobs_concurrency: int = Field(4, ge=0, le=256, description="Jobs with an effect run at once; 0: no worker")
    jobs_batch_size: int = Field(500, ge=1, le=10_000, description="Most jobs claimed or completed at once")
    jobs_claim_lease_seconds: Seconds = Field(10.0, description="A silent worker's claim is rescued after")
    jobs_heartbeat_seconds: Seconds = Field(2.5, description="Pause between a worker's heartbeats")
    jobs_poll_seconds: Seconds = Field(1.0, description="Safety net where a wake-up notification was missed")
    jobs_rescue_seconds: Seconds = Field(0.5, description="Pause between searches for stale claims")
    jobs_max_attempts: int = Field(8, ge=1, le=100, description="Attempts before a job becomes a dead letter")
    jobs_retry_base_seconds: Seconds = Field(1.0, description="First pause before a retry; doubles each time")
    jobs_retry_max_seconds: Seconds = Field(300.0, description="Longest pause before a retry")

    sources_file: Path | None = Field(None, description="Sources file; without it the database's sources are kept")
    sources_watch_seconds: Seconds = Field(2.0, description="Pause between looks at the sources file (leader)")
    schedule_seconds: Seconds = Field(1.0, description="Pause between looks for sources due a refresh (leader)")
    refresh_interval_seconds: Seconds = Field(300.0, description="Pause between refreshes of a source")
    source_timeout_seconds: Seconds = Field(30.0, description="Longest time to read one source")
    source_max_bytes: int = Field(64 * 1024 * 1024, ge=1024, description="Largest catalog file accepted")

    cleanup_seconds: Seconds = Field(60.0, description="Pause between clean-ups (leader)")
    jobs_retention_seconds: Seconds = Field(86_400.0, description="Finished jobs are kept for")
    ledger_retention_seconds: Seconds = Field(7 * 86_400.0, description="Execution ledger rows are kept for")
    replica_timeout_seconds: Seconds = Field(10.0, description="A replica not seen for so long counts as dead")
    replica_retention_seconds: Seconds = Field(3600.0, description="Rows of dead replicas are kept for")

    probes_enabled: bool = Field(
        False, description="Accept probes: writes and jobs whose effects a verification counts from outside"
    )

    auth_secret: Annotated[SecretStr | None, AfterValidator(_long_enough)] = Field(
        None, description="Shared HS256 secret; with it, writes need a bearer token"
    )
    auth_reads: bool = Field(False, description="Reads need a token as well")
    drain_seconds: float = Field(
        1.0, ge=0, le=300, description="Time between failing /readyz and closing the listener on SIGTERM"
    )
    shutdown_grace_seconds: Seconds = Field(20.0, description="Longest wait for requests and jobs in flight")

    @model_validator(mode="after")
    def _settings_fit_together(self) -> "Settings":
        if self.leadership_lease_seconds <= self.leadership_renew_deadline_seconds:
            raise _refuse(
                "leadership_renew_deadline_seconds: not shorter than leadership_lease_seconds "
                f"({self.leadership_lease_seconds:g})",
                "Keep lease > renew deadline > 1.2 x retry; the defaults are 15, 10 and 2",
            )
        if self.leadership_renew_deadline_seconds <= 1.2 * self.leadership_retry_seconds:
            raise _refuse(
                "leadership_retry_seconds: 1.2 x retry is not shorter than leadership_renew_deadline_seconds "
                f"({self.leadership_renew_deadline_seconds:g})",
                "Keep lease > renew deadline > 1.2 x retry; the defaults are 15, 10 and 2",
            )
        if self.read_dsn is not None and self.is_sqlite:
            raise _refuse(
                "read_dsn: database_dsn is a SQLite file, which no other database follows",
                "Leave read_dsn out, or use PostgreSQL for both",
            )
        if self.state_configmap is not None and self.leadership_backend != "kubernetes":
            raise _refuse(
                f"state_configmap: the leadership_backend is {self.leadership_backend}, not kubernetes",
                "Set leadership_backend to kubernetes, or leave state_configmap out",
            )
        if self.jobs_claim_lease_seconds < 3 * self.jobs_heartbeat_seconds:
            raise _refuse(
                "jobs_heartbeat_seconds: fewer than three heartbeats fit into jobs_claim_lease_seconds "
                f"({self.jobs_claim_lease_seconds:g})",
                "Shorten jobs_heartbeat_seconds or lengthen jobs_claim_lease_seconds",
            )
        if self.auth_reads and self.auth_secret is None:
            raise _refuse("auth_reads: no auth_secret to check tokens with", "Set CATALOG_AUTH_SECRET_FILE")
        return self

    @property
    def is_sqlite(self) -> bool:
        """True where the database is a SQLite file, which serves a single replica only."""
        return self.database_dsn.get_secret_value().startswith("sqlite:")

    @property
    def direct_dsn(self) -> str:
        """The DSN that migrations use: never through a transaction pooler."""
        return (self.migrations_dsn or self.database_dsn).get_secret_value()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # `load_settings` passes the values of the files as init arguments; the environment wins over them.
        return env_settings, init_settings


def load_settings() -> Settings:
    """Reads the file and the environment of this process and validates them together.

    Raises `InvalidConfiguration` with every problem found.
    """
    problems = _unknown_variables(os.environ)
    values, file_problems = _read_file(os.environ.get(CONFIG_FILE_VARIABLE))
    secrets, secret_problems = _read_secret_files(os.environ)
    problems += file_problems + secret_problems
    try:
        settings = Settings(**(values | secrets))
    except ValidationError as error:
        problems += [_explain(detail) for detail in error.errors(include_url=False)]
    if problems:
        raise InvalidConfiguration(problems)
    return settings


def _unknown_variables(environ: Mapping[str, str]) -> list[Problem]:
    known = {CONFIG_FILE_VARIABLE}
    known |= {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields}
    known |= {f"{ENV_PREFIX}{name.upper()}_FILE" for name in SECRET_FIELDS}
    return [
        Problem(name, "(set)", "unknown setting", "Remove it, or see docs/configuration.md for the names")
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX) and name not in known and not _SERVICE_LINK.search(name)
    ]


def _read_file(name: str | None) -> tuple[dict[str, Any], list[Problem]]:
    if name is None:
        return {}, []
    try:
        content = yaml.safe_load(Path(name).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        return {}, [Problem(CONFIG_FILE_VARIABLE, name, f"cannot be read ({reason})", "Name a readable YAML file")]
    if content is None:
        return {}, []
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        return {}, [Problem(CONFIG_FILE_VARIABLE, name, "is not a mapping", "Write one `setting: value` per line")]
    return content, []


def _read_secret_files(environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for field in SECRET_FIELDS:
        variable = f"{ENV_PREFIX}{field.upper()}"
        path = environ.get(f"{variable}_FILE")
        if path is None:
            continue
        if variable in environ:
            problems.append(Problem(f"{variable}_FILE", path, f"{variable} is set as well", "Set only one of the two"))
            continue
        try:
            values[field] = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            problems.append(
                Problem(f"{variable}_FILE", path, f"cannot be read ({reason})", "Name a file this user may read")
            )
    return values, problems


def _explain(detail: Any) -> Problem:
    """Turns one pydantic error into field, value, message and remedy."""
    context = detail.get("ctx", {})
    field = ".".join(str(part) for part in detail["loc"])
    message = detail["msg"]
    if not field and ": " in message:  # a rule over several fields names the one to change
        field, message = message.split(": ", 1)
    value = _masked(field, detail["input"])
    if detail["type"] == "missing":
        variable = f"{ENV_PREFIX}{field.upper()}"
        suffix = f" or {variable}_FILE" if field in SECRET_FIELDS else ""
        return Problem(field, "(not set)", "is required", f"Set {variable}{suffix}")
    if detail["type"] == "extra_forbidden":
        return Problem(field, value, "unknown setting", "Remove it, or see docs/configuration.md for the names")
    remedy = context.get("remedy") or f"See {field} in docs/configuration.md"
    return Problem(field, value, message[:1].lower() + message[1:], remedy)


def _masked(field: str, value: Any) -> str:
    if field in SECRET_FIELDS:
        return "(secret)"
    if isinstance(value, Mapping):  # a rule over several fields saw them all
        return repr(value.get(field)) if field in value else "(default)"
    return repr(value)


def restart_needed(field: str, value: Any) -> Problem:
    """A setting that can not change while the process runs."""
    return Problem(field, _masked(field, value), "cannot change while the server runs", "Restart the process")


def listen_address() -> tuple[str, int]:
    """Where to answer probes, even if other settings are invalid: a process that says why beats one that died.

    A host or port that is itself invalid is replaced by its default.
    """
    values, _ = _read_file(os.environ.get(CONFIG_FILE_VARIABLE))

    def one(field: str) -> Any:
        info = Settings.model_fields[field]
        value = os.environ.get(f"{ENV_PREFIX}{field.upper()}", values.get(field, info.default))
        try:
            checked: Any = Annotated[info.annotation, info]
            return TypeAdapter(checked).validate_python(value)
        except ValidationError:
            return info.default

    return one("http_host"), one("http_port")

"""Settings: where they come from, what is refused, and what a person is told."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog_server.cli.config import config, reference_markdown
from catalog_server.config import InvalidConfiguration, Problem, listen_address, load_settings

DSN = "postgresql://user:hunter2@127.0.0.1:5432/catalog"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("CATALOG_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CATALOG_DATABASE_DSN", DSN)


def problems() -> list[Problem]:
    with pytest.raises(InvalidConfiguration) as caught:
        load_settings()
    return caught.value.problems


def write_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    monkeypatch.setenv("CATALOG_CONFIG_FILE", str(path))


def test_defaults_are_the_documented_lease_timings() -> None:
    settings = load_settings()
    timings = (
        settings.leadership_lease_seconds,
        settings.leadership_renew_deadline_seconds,
        settings.leadership_retry_seconds,
    )
    assert timings == (15.0, 10.0, 2.0)


def test_environment_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path, monkeypatch, "http_port: 9001\njobs_concurrency: 7\n")
    monkeypatch.setenv("CATALOG_HTTP_PORT", "9002")
    settings = load_settings()
    assert (settings.http_port, settings.jobs_concurrency) == (9002, 7)


def test_a_secret_is_read_from_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATALOG_DATABASE_DSN")
    (tmp_path / "dsn").write_text(DSN + "\n")
    monkeypatch.setenv("CATALOG_DATABASE_DSN_FILE", str(tmp_path / "dsn"))
    assert load_settings().database_dsn.get_secret_value() == DSN


def test_the_address_for_reads_is_a_secret_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().read_dsn is None
    (tmp_path / "dsn").write_text("postgresql://reader:hunter2@standby/catalog\n")
    monkeypatch.setenv("CATALOG_READ_DSN_FILE", str(tmp_path / "dsn"))
    settings = load_settings()
    assert settings.read_dsn is not None
    assert settings.read_dsn.get_secret_value() == "postgresql://reader:hunter2@standby/catalog"
    assert "hunter2" not in str(settings)


def test_reads_from_a_standby_of_a_sqlite_file_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_DATABASE_DSN", "sqlite:///catalog.db")
    monkeypatch.setenv("CATALOG_READ_DSN", "postgresql://reader:hunter2@standby/catalog")
    (problem,) = problems()
    assert (problem.field, problem.value) == ("read_dsn", "(secret)")
    assert "SQLite" in problem.message
    assert "Leave read_dsn out" in problem.remedy


@pytest.mark.parametrize(("name", "value"), [("read_dsn", "sqlite:///x.db"), ("read_staleness_seconds", "0.5")])
def test_a_wrong_setting_of_reads_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"CATALOG_{name.upper()}", value)
    (problem,) = problems()
    assert problem.field == name
    assert problem.remedy


def test_a_secret_given_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dsn").write_text(DSN)
    monkeypatch.setenv("CATALOG_DATABASE_DSN_FILE", str(tmp_path / "dsn"))
    assert problems()[0].field == "CATALOG_DATABASE_DSN_FILE"


def test_a_missing_dsn_names_both_ways_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATALOG_DATABASE_DSN")
    (problem,) = problems()
    assert problem.field == "database_dsn"
    assert "CATALOG_DATABASE_DSN_FILE" in problem.remedy


def test_every_problem_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_config(tmp_path, monkeypatch, "http_prot: 80\n")
    monkeypatch.setenv("CATALOG_HTTP_PORT", "99999")
    monkeypatch.setenv("CATALOG_LOG_LEVLE", "debug")
    monkeypatch.setenv("CATALOG_MIGRATIONS", "sometimes")
    found = {problem.field: problem for problem in problems()}
    assert set(found) == {"http_port", "http_prot", "CATALOG_LOG_LEVLE", "migrations"}
    assert found["http_port"].value == "'99999'"


def test_a_wrong_dsn_is_refused_without_showing_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_DATABASE_DSN", "mysql://user:hunter2@host/db")
    (problem,) = problems()
    assert problem.field == "database_dsn"
    assert "postgresql://" in problem.remedy
    assert "hunter2" not in str(problem)


@pytest.mark.parametrize(
    ("lease", "renew", "retry", "field"),
    [
        (10, 10, 2, "leadership_renew_deadline_seconds"),
        (15, 2, 2, "leadership_retry_seconds"),
    ],
)
def test_unsafe_lease_timings_are_refused(
    monkeypatch: pytest.MonkeyPatch, lease: float, renew: float, retry: float, field: str
) -> None:
    monkeypatch.setenv("CATALOG_LEADERSHIP_LEASE_SECONDS", str(lease))
    monkeypatch.setenv("CATALOG_LEADERSHIP_RENEW_DEADLINE_SECONDS", str(renew))
    monkeypatch.setenv("CATALOG_LEADERSHIP_RETRY_SECONDS", str(retry))
    (problem,) = problems()
    assert problem.field == field
    assert "15, 10 and 2" in problem.remedy


def test_too_few_heartbeats_per_claim_lease_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_JOBS_HEARTBEAT_SECONDS", "5")
    assert problems()[0].field == "jobs_heartbeat_seconds"


def test_a_state_configmap_without_leases_in_kubernetes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_STATE_CONFIGMAP", "catalog-server-state")
    (problem,) = problems()
    assert (problem.field, problem.value) == ("state_configmap", "'catalog-server-state'")
    assert "leadership_backend is database" in problem.message
    assert "Set leadership_backend to kubernetes" in problem.remedy
    monkeypatch.setenv("CATALOG_LEADERSHIP_BACKEND", "kubernetes")
    assert load_settings().state_configmap == "catalog-server-state"
    monkeypatch.setenv("CATALOG_STATE_CONFIGMAP", "Not_A_Name")
    assert problems()[0].field == "state_configmap"


def test_a_short_shared_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_AUTH_SECRET", "short")
    (problem,) = problems()
    assert problem.field == "auth_secret"
    assert "short'" not in str(problem)


def test_service_links_of_kubernetes_are_not_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CATALOG_SERVER_SERVICE_HOST", "CATALOG_SERVER_PORT_8080_TCP_ADDR", "CATALOG_SERVER_PORT"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:8080")
    load_settings()


@pytest.mark.parametrize("text", ["- a list", "key: [unclosed"])
def test_an_unusable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    write_config(tmp_path, monkeypatch, text)
    (problem,) = problems()
    assert problem.field == "CATALOG_CONFIG_FILE"
    assert problem.value.endswith("catalog.yaml")


def test_the_listen_address_survives_other_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATALOG_DATABASE_DSN", "nonsense")
    monkeypatch.setenv("CATALOG_HTTP_PORT", "9003")
    assert listen_address() == ("127.0.0.1", 9003)
    monkeypatch.setenv("CATALOG_HTTP_PORT", "high")
    assert listen_address() == ("127.0.0.1", 8080)


def test_config_check_names_every_problem_and_hides_secrets() -> None:
    result = CliRunner().invoke(config, ["check"], env={"CATALOG_HTTP_PORT": "0", "CATALOG_JOBS_CONCURENCY": "1"})
    assert result.exit_code == 1
    assert "http_port" in result.output
    assert "CATALOG_JOBS_CONCURENCY" in result.output
    assert "hunter2" not in result.output
    valid = CliRunner().invoke(config, ["check", "--json"])
    assert valid.exit_code == 0
    assert json.loads(valid.output)["settings"]["jobs_concurrency"] == 4
    assert "hunter2" not in valid.output


def test_config_check_reads_the_sources_file_too(tmp_path: Path) -> None:
    path = tmp_path / "sources.yaml"
    for content in (None, "catalogs: [{id: a, type: yaml}"):
        if content is not None:
            path.write_text(content)
        result = CliRunner().invoke(config, ["check", "--json"], env={"CATALOG_SOURCES_FILE": str(path)})
        assert result.exit_code == 1
        (problem,) = json.loads(result.output)["problems"]
        assert problem["field"] == "sources_file"
        assert str(path) in problem["value"]


def test_the_reference_in_the_documentation_is_current() -> None:
    documented = Path(__file__).parents[2] / "docs" / "configuration.md"
    assert documented.read_text() == reference_markdown(), "run: catalog-server config reference"

"""What the verification reads of a database's members: from PostgreSQL's configuration, or from Patroni's."""

from pathlib import Path

import pytest

from ha_verify.targets import NotPossible
from ha_verify.targets.deployed import Deployed
from ha_verify.targets.local import LocalTarget

SETTINGS = dict.fromkeys(("drain_seconds", "schedule_seconds", "database_deadline_seconds"), 1.0)
SETTINGS |= {f"leadership_{name}_seconds": 1.0 for name in ("lease", "renew_deadline", "retry")}
SETTINGS |= {f"jobs_{name}_seconds": 1.0 for name in ("claim_lease", "rescue")}


def made(folder: Path, configurations: dict[str, str], members: int) -> Deployed:
    """A state folder with the programs of so many members."""
    programs = folder / "config" / "programs"
    programs.mkdir(parents=True)
    for number in range(1, members + 1):
        (programs / f"postgresql{'' if number == 1 else f'-{number}'}.conf").touch()
    for name, text in configurations.items():
        (folder / "config" / name).write_text(text)
    return Deployed(folder)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Deployed, "settings", lambda self: SETTINGS)


def test_where_a_person_fails_over_the_members_have_postgresql_s_configuration(tmp_path: Path) -> None:
    text = "data_directory = '/state/postgresql/data-2'\nport = 18433\n"
    deployed = made(tmp_path, {"postgresql-2.conf": text}, 2)
    assert deployed.member_names() == ["postgresql", "postgresql-2"]
    assert deployed.member_port("postgresql-2") == 18433
    assert deployed.member_data("postgresql-2") == Path("/state/postgresql/data-2")
    assert not deployed.fails_over_by_itself
    assert (deployed.timing().database_failover, deployed.timing().database_fenced) == (None, 0.0)


def test_where_patroni_does_its_configuration_is_read_and_gives_the_bounds(tmp_path: Path) -> None:
    member = "postgresql: {listen: '127.0.0.1:18434', data_dir: /state/postgresql/data-3}"
    parameters = "postgresql: {parameters: {wal_sender_timeout: 10s}}"
    cluster = f"{{ttl: 20, loop_wait: 2, retry_timeout: 5, {parameters}}}"
    deployed = made(tmp_path, {"postgresql-3.yml": member, "cluster.yml": cluster}, 3)
    assert deployed.fails_over_by_itself
    assert deployed.member_port("postgresql-3") == 18434
    assert deployed.member_data("postgresql-3") == Path("/state/postgresql/data-3")
    timing = deployed.timing()
    assert (timing.database_failover, timing.database_fenced, timing.database_unconfirmed) == (29.0, 7.0, 17.0)


def test_ten_members_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    assert made(tmp_path, {}, 10).member_names()[8:] == ["postgresql-9", "postgresql-10"]


def test_a_deployment_with_one_member_has_nobody_to_fail_over_to(tmp_path: Path) -> None:
    with pytest.raises(NotPossible, match="postgresql_members is less than 3: add -e postgresql_members=3"):
        _ = LocalTarget(tmp_path / "state").members

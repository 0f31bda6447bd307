"""The order of a restore in place: what is stopped, what is touched, and what happens where it fails on the way."""

import datetime
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.deployment import load_module, load_module_utils

restore = load_module("postgresql_restore")
shared = load_module_utils("postgresql_cluster")
Failed = restore.Failed


class Programs(shared.Programs):
    """A supervisord that notes what it is told."""

    def __init__(self, events: list[str], down: set[str]) -> None:
        self._events, self._down = events, down

    def state(self, name: str) -> str:
        return "stopped" if name in self._down else "running"

    def stop(self, name: str, *, wait: bool) -> None:
        assert wait
        self._events.append(f"stop {name}")

    def start(self, name: str) -> None:
        self._events.append(f"start {name}")


class Stage:
    """A cluster of two members on disk, the second of them the primary, and a recovery that fails where it is told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.events: list[str] = []
        self.down: set[str] = set()
        self.fails_at = ""
        self.folder = folder / "postgresql"
        (folder / "config" / "programs").mkdir(parents=True)
        for name in ("replica-1", "replica-2", "haproxy"):
            (folder / "config" / "programs" / f"{name}.conf").touch()
        members = []
        for name, suffix in (("postgresql", ""), ("postgresql-2", "-2")):
            data = self.folder / f"data{suffix}"
            data.mkdir(parents=True)
            (data / "of").write_text(name)
            members.append(SimpleNamespace(name=name, data=data))
        self.cluster = SimpleNamespace(
            state_dir=folder,
            members=members,
            is_automatic=False,
            leaders=lambda: [],
            programs=Programs(self.events, self.down),
            servers=lambda: shared.Cluster.servers(self.cluster),
            primaries=lambda: [member for member in members[1:] if member.data.exists()],
            the_primary=lambda: members[1],
        )
        record = {"id": "20260101T000000Z", "ended_at": "2026-01-01 00:05:00+00:00"}
        self.backups = SimpleNamespace(records=lambda: [record], database="catalog")
        monkeypatch.setattr(restore, "Recovery", self._recovery)
        monkeypatch.setattr(restore, "mark_end", lambda _primary: self._step("archive"))
        monkeypatch.setattr(restore, "checksums", lambda _login: {"public.kept": [1, "7"]})

    def _step(self, name: str) -> None:
        self.events.append(name)
        if name == self.fails_at:
            raise Failed(f"{name} went wrong")

    def _recovery(self, _cluster: object, _backups: object, name: str) -> SimpleNamespace:
        folder = self.folder / name
        data = folder / "data"

        def step(name: str) -> Callable[..., None]:
            return lambda *_: self._step(name)

        def build(*_: object) -> None:
            data.mkdir(parents=True)
            (data / "of").write_text("the backup")
            self._step("build")

        return SimpleNamespace(
            data=data,
            verify=step("verify"),
            build=build,
            start=step("recover"),
            login=lambda _database: {},
            stop=step("stop the recovered"),
            remove=step("remove"),
        )

    def content(self) -> dict[str, str]:
        """Whose the data are, by folder; without the time in its name."""
        found = {path.parent.name: path.read_text() for path in self.folder.glob("data*/of")}
        return {re.sub(r"-\d{8}T\d{6}Z", "", name): text for name, text in found.items()}


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


STOPS = ["stop replica-1", "stop replica-2", "archive", "stop postgresql-2", "stop postgresql", "stop wal-archive"]


def test_writers_stop_before_the_archive_is_completed_and_the_primary_before_its_replicas(stage: Stage) -> None:
    result = restore.in_place(stage.cluster, stage.backups, None)
    assert stage.events == ["verify", *STOPS, "build", "recover", "stop the recovered", "remove"]
    assert stage.content() == {"data": "the backup", "data-2.replaced": "postgresql-2"}
    assert "data-2.replaced-" in result["summary"]


@pytest.fixture
def etcd(stage: Stage, tmp_path: Path) -> Path:
    """Its folder, where Patroni runs the members, of whom the second leads."""
    leader = stage.cluster.members[1]
    leader.run = lambda _sql: [{"synchronous_standby_names": ""}]
    stage.cluster.is_automatic, stage.cluster.leaders = True, lambda: [leader]
    (tmp_path / "etcd").mkdir()
    return tmp_path / "etcd"


def test_under_patroni_the_primary_goes_last_and_what_etcd_knows_goes_with_the_old_data(
    stage: Stage, etcd: Path
) -> None:
    restore.in_place(stage.cluster, stage.backups, None)
    stops = [*STOPS[:3], "stop postgresql", "stop postgresql-2", "stop wal-archive"]
    assert stage.events == ["verify", *stops, "build", "recover", "stop the recovered", "stop etcd", "remove"]
    assert not etcd.exists()


def test_under_patroni_etcd_keeps_what_it_knows_where_the_old_data_stay(stage: Stage, etcd: Path) -> None:
    stage.fails_at = "recover"
    with pytest.raises(Failed, match="recover went wrong"):
        restore.in_place(stage.cluster, stage.backups, None)
    assert "stop etcd" not in stage.events
    assert etcd.exists()


@pytest.mark.parametrize("step", ["build", "recover", "stop the recovered"])
def test_where_it_fails_the_old_is_untouched_and_everything_starts_again(stage: Stage, step: str) -> None:
    stage.fails_at = step
    stage.down.add("replica-2")
    with pytest.raises(Failed, match=f"nothing was restored, and all that was stopped.*{step} went wrong"):
        restore.in_place(stage.cluster, stage.backups, None)
    stopped = [event.removeprefix("stop ") for event in STOPS if event not in ("archive", "stop replica-2")]
    assert [event for event in stage.events if event.startswith("start ")] == [
        f"start {name}" for name in reversed(stopped)
    ]
    assert stage.content() == {"data": "postgresql", "data-2": "postgresql-2"}


def test_a_damaged_backup_stops_nothing(stage: Stage) -> None:
    stage.fails_at = "verify"
    with pytest.raises(Failed, match="verify went wrong"):
        restore.in_place(stage.cluster, stage.backups, None)
    assert stage.events == ["verify"]


def test_an_archive_that_could_not_be_completed_is_told_and_no_obstacle(stage: Stage) -> None:
    stage.fails_at = "archive"
    result = restore.in_place(stage.cluster, stage.backups, None)
    assert "What was written last may be missing" in result["summary"]
    assert stage.content()["data"] == "the backup"


def test_a_target_in_the_future_is_refused() -> None:
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    with pytest.raises(Failed, match="is in the future"):
        restore.read_target(str(tomorrow))

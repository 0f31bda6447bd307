"""What the playbooks wrote about a deployment: addresses, settings, secrets. Read, never guessed."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from ha_verify.targets.playbook import BIN
from ha_verify.targets.target import NotPossible, Timing

MARKER = ".catalog-server-deployment"


class Deployed:
    """The state folder of one deployment. Raises `NotPossible` while nothing is deployed there."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.config_dir = state_dir / "config"
        self.programs_dir = state_dir / "config" / "programs"
        self.run_dir = state_dir / "run"
        self.postgresql_dir = state_dir / "postgresql"

    @property
    def exists(self) -> bool:
        """Whether replicas were ever deployed here."""
        return (self.config_dir / "catalog.yaml").is_file() and bool(self.replica_names())

    def read(self, *parts: str) -> str:
        """The text of a file below the state folder."""
        try:
            return self.state_dir.joinpath(*parts).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise NotPossible(f"nothing is deployed in {self.state_dir}: bring the target up first") from None

    def secret(self, name: str) -> str:
        return self.read("secrets", name)

    def replica_names(self) -> list[str]:
        """Of the programs that are deployed, by number."""
        names = [path.stem for path in self.programs_dir.glob("replica-*.conf")]
        return sorted(names, key=lambda name: int(name.removeprefix("replica-")))

    def replica_url(self, name: str) -> str:
        port = _found(r'CATALOG_HTTP_PORT="(\d+)"', self.read("config", "programs", f"{name}.conf"))
        return f"http://127.0.0.1:{port}"

    def base_url(self) -> str:
        """Of the load balancer."""
        bind = _found(r"frontend catalog\s+bind (\S+)", self.read("config", "haproxy.cfg"))
        return f"http://{bind.replace('0.0.0.0', '127.0.0.1')}"  # noqa: S104 - what is bound, not a binding

    def member_names(self) -> list[str]:
        """Of the database, by number: one, or several that replicate."""
        names = [path.stem for path in self.programs_dir.glob("postgresql*.conf")]
        numbers = {int(name.removeprefix("postgresql").removeprefix("-") or 1): name for name in names}
        return [numbers[number] for number in sorted(numbers)]

    @property
    def fails_over_by_itself(self) -> bool:
        """Whether Patroni runs the database's members: they have its configuration. Else a person replaces them."""
        return any((self.config_dir / f"{name}.yml").is_file() for name in self.member_names())

    def member_port(self, name: str) -> int:
        if self.fails_over_by_itself:
            return int(str(self._patroni(name)["postgresql"]["listen"]).rpartition(":")[2])
        return int(_found(r"(?m)^port = (\d+)", self.read("config", f"{name}.conf")))

    def member_data(self, name: str) -> Path:
        if self.fails_over_by_itself:
            return Path(self._patroni(name)["postgresql"]["data_dir"])
        return Path(_found(r"(?m)^data_directory = '(.+)'", self.read("config", f"{name}.conf")))

    def _patroni(self, name: str) -> dict[str, Any]:
        """Its configuration of a member, or that of the `cluster`."""
        return dict(yaml.safe_load(self.read("config", f"{name}.yml")))

    def backups(self) -> Path:
        """The folder of the database's backups, dumps and archive."""
        return Path(json.loads(self.read("config", "backups.json"))["folder"])

    def proxy_port(self, name: str) -> int:
        """Where a database proxy listens."""
        return int(_found(r"bind 127\.0\.0\.1:(\d+)", self.read("config", f"{name}.cfg")))

    def application_dsn(self) -> str:
        """How the replicas log in."""
        return self.secret("database_dsn")

    def settings(self) -> dict[str, Any]:
        """All settings of the replicas, defaults included, as the server itself reads them."""
        return dict(json.loads(self.catalog_server("config", "check", "--json"))["settings"])

    def timing(self) -> Timing:
        timing = Timing.of_settings(self.settings())
        if not self.fails_over_by_itself:
            return timing
        cluster = self._patroni("cluster")
        timing = timing.under_patroni(cluster)
        # A synchronous standby that is frozen counts as one until its connection is given up, and the primary looks and
        # finds out, as one that was succeeded does.
        given_up = _seconds(cluster["postgresql"]["parameters"]["wal_sender_timeout"])
        return replace(timing, database_unconfirmed=given_up + timing.database_fenced)

    def catalog_server(self, *arguments: str) -> str:
        """Runs the server's command line with this deployment's configuration, straight to the database.

        Raises `NotPossible` with what the command said.
        """
        environment = {
            "CATALOG_CONFIG_FILE": str(self.config_dir / "catalog.yaml"),
            "CATALOG_DATABASE_DSN_FILE": str(self.state_dir / "secrets" / "database_dsn"),
            "LC_ALL": "C.UTF-8",
        }
        if (self.state_dir / "secrets" / "auth_secret").exists():
            environment["CATALOG_AUTH_SECRET_FILE"] = str(self.state_dir / "secrets" / "auth_secret")
        result = subprocess.run(  # noqa: S603 - a command of this project
            [str(BIN / "catalog-server"), *arguments], env=environment, capture_output=True, text=True, check=False
        )
        if result.returncode:
            said = (result.stderr or result.stdout).strip()
            raise NotPossible(f"catalog-server {' '.join(arguments)} failed: {said}")
        return result.stdout


def _seconds(setting: str) -> float:
    """Of a time as PostgreSQL's configuration has it, such as 10s."""
    unit = _found(r"^\d+(ms|s|min)$", setting)
    return int(setting.removesuffix(unit)) * {"ms": 0.001, "s": 1.0, "min": 60.0}[unit]


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise NotPossible(
            f"the deployment's configuration does not say {pattern!r}: was it written by other playbooks?"
        )
    return match.group(1)

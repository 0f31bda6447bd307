"""PostgreSQL of the local deployment: a program of its supervisord, or one for each member."""

from collections.abc import Sequence

import psycopg2
import psycopg2.extensions

from ha_verify.targets.deployed import Deployed
from ha_verify.targets.member_server import MemberServer
from ha_verify.targets.postgresql import Action, PostgreSQL
from ha_verify.targets.processes import Processes
from ha_verify.targets.supervisor import Supervisor
from ha_verify.targets.target import NotPossible

LOOK_SECONDS = 2.0


class LocalDatabase(PostgreSQL):
    """Blocking, as its base is."""

    def __init__(self, deployed: Deployed, supervisor: Supervisor, processes: Processes) -> None:
        super().__init__()
        self._deployed = deployed
        self._supervisor = supervisor
        self._processes = processes

    def act(self, action: Action) -> None:
        """`crash` kills all its processes at once, as a loss of power would; supervisord starts it again.

        `pause` stops all its processes: connections stay open and say nothing. `stop` and `start` return when it is
        stopped or answers; `restart` is both. Of several members it is the primary that is meant, and with `start` and
        `resume` all of them. Raises `NotPossible`.
        """
        if action in ("stop", "restart"):
            self.resume()  # who is stopped by a signal can not stop in an orderly way
            self._supervisor.stop(self._primary())
        if action in ("start", "restart"):
            self.start()
            self.wait_until_it_answers()
        if action == "crash":
            self._processes.signal(self._primary(), "KILL")
        if action == "pause":
            self._processes.signal(self._primary(), "STOP")
        if action == "resume":
            self.resume()

    def start(self) -> None:
        for name in self._deployed.member_names():
            self._supervisor.start(name, wait=False)

    def resume(self) -> None:
        for name in self._deployed.member_names():
            if self._processes.is_stopped(name):
                self._processes.signal(name, "CONT")

    def _primary(self) -> str:
        """The program of the member that takes writes."""
        first, *others = self._deployed.member_names()
        if not others:
            return first
        for name in (first, *others):
            try:
                if self.server(name).look(LOOK_SECONDS).role == "primary":
                    return name
            except psycopg2.Error:
                continue
        raise NotPossible("no member of the database is seen to be the primary")

    def application_dsn(self) -> str:
        return self._deployed.application_dsn()

    def superuser_dsn(self) -> str:
        """Of the member that takes writes, whichever that is."""
        return self._dsn_of(self._deployed.member_names())

    def server(self, member: str) -> MemberServer:
        """This member alone."""
        return MemberServer(member, self._dsn_of([member]))

    def _dsn_of(self, members: Sequence[str]) -> str:
        parameters = psycopg2.extensions.parse_dsn(self._deployed.application_dsn())
        return str(
            psycopg2.extensions.make_dsn(
                host=",".join(["127.0.0.1"] * len(members)),
                port=",".join(str(self._deployed.member_port(name)) for name in members),
                dbname=parameters["dbname"],
                user="postgres",
                password=self._deployed.secret("postgresql_superuser_password"),
                target_session_attrs="read-write" if len(members) > 1 else "any",
            )
        )

"""PostgreSQL of the local deployment: a program of its supervisord."""

import psycopg2.extensions

from ha_verify.targets.deployed import Deployed
from ha_verify.targets.postgresql import Action, PostgreSQL
from ha_verify.targets.processes import Processes
from ha_verify.targets.supervisor import Supervisor

PROGRAM = "postgresql"


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
        stopped or answers; `restart` is both. Raises `NotPossible`.
        """
        if action in ("stop", "restart"):
            self.resume()  # who is stopped by a signal can not stop in an orderly way
            self._supervisor.stop(PROGRAM)
        if action in ("start", "restart"):
            self._supervisor.start(PROGRAM)
            self.wait_until_it_answers()
        if action == "crash":
            self._processes.signal(PROGRAM, "KILL")
        if action == "pause":
            self._processes.signal(PROGRAM, "STOP")
        if action == "resume":
            self.resume()

    def resume(self) -> None:
        if self._processes.is_stopped(PROGRAM):
            self._processes.signal(PROGRAM, "CONT")

    def application_dsn(self) -> str:
        return self._deployed.application_dsn()

    def superuser_dsn(self) -> str:
        parameters = psycopg2.extensions.parse_dsn(self._deployed.application_dsn())
        return str(
            psycopg2.extensions.make_dsn(
                host="127.0.0.1",
                port=self._deployed.postgresql_port(),
                dbname=parameters["dbname"],
                user="postgres",
                password=self._deployed.secret("postgresql_superuser_password"),
            )
        )

"""A server of its own that is made of a backup and archived WAL, recovered until a target and then promoted.

It works in a folder of its own and on a port of its own, and touches nothing of the members.
"""

import contextlib
import shutil
import socket

import psycopg2
import yaml
from ansible.module_utils.postgresql_backups import chain
from ansible.module_utils.postgresql_cluster import HOST, SIGNAL, Failed, wait_until
from ansible.module_utils.postgresql_programs import hand_over

RECOVERY_SECONDS = 3600

# The configuration of a member, because a recovery wants limits that are no lower, but none of its replication.
CONFIGURATION = """\
{settings}
data_directory = '{folder}/data'
hba_file = '{folder}/pg_hba.conf'
ident_file = '{folder}/data/pg_ident.conf'
port = {port}
cluster_name = '{folder.name}'
synchronous_standby_names = ''
primary_conninfo = ''
primary_slot_name = ''
# Twice by its name: the receiver may complete it, and give it that name, between the two.
restore_command = 'cp "{wal}/%f" "%p" 2>/dev/null || cp "{wal}/%f.partial" "%p" 2>/dev/null || cp "{wal}/%f" "%p"'
recovery_target_timeline = 'latest'
recovery_target_action = 'promote'
{target}
"""


class Recovery:
    def __init__(self, cluster, backups, name, port=None):
        self._cluster, self._backups = cluster, backups
        self.folder = cluster.state_dir / "postgresql" / name
        self.data = self.folder / "data"
        self.port = port or free_port()

    def verify(self, records, backup):
        """Raises `Failed` where a file of the backup, or of one of its parents, is not as it was written."""
        for record in chain(records, backup):
            self._backups.verify(self._backups.data(record))

    def build(self, records, backup, target):
        """Makes the data. `target` is a line of configuration: where the recovery ends; empty for all there is."""
        backups = self._backups
        self.remove()
        self.folder.mkdir(mode=0o700)
        hand_over(self.folder, backups.folder)
        backups.run("pg_combinebackup", f"--output={self.data}", *map(backups.data, chain(records, backup)))
        (self.data / SIGNAL).unlink(missing_ok=True)  # a replica's backup holds its mark, and would never be promoted
        configuration = CONFIGURATION.format(
            settings=self._settings(),
            folder=self.folder,
            port=self.port,
            wal=backups.wal,
            target=target,
        )
        for path, text in (
            (self.folder / "postgresql.conf", configuration),
            (self.folder / "pg_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n"),
            (self.data / "recovery.signal", ""),
        ):
            path.write_text(text)
            hand_over(path, backups.folder)

    def _settings(self):
        config_dir = self._cluster.state_dir / "config"
        if not self._cluster.is_automatic:
            return f"include '{config_dir}/postgresql.conf'"
        told = yaml.safe_load((config_dir / "cluster.yml").read_text())["postgresql"]["parameters"]
        return "\n".join(f"{name} = '{value}'" for name, value in {"listen_addresses": HOST, **told}.items())

    def start(self):
        """Recovers until the target, and is promoted. Raises `Failed` with the end of the log where that is not so."""
        configuration = f"-c config_file={self.folder}/postgresql.conf"
        try:
            self._pg_ctl("start", f"--log={self.folder}/log", f"--options={configuration}")
            wait_until(self._is_promoted, RECOVERY_SECONDS, "the end of the recovery")
        except (Failed, psycopg2.Error) as error:
            raise Failed(f"the recovery did not reach its target: {self._why() or error}") from error

    def login(self, database):
        """The superuser's way in."""
        return self._cluster.members[0].login(HOST, self.port) | {"dbname": database, "options": ""}

    def stop(self):
        if (self.data / "postmaster.pid").exists():
            self._pg_ctl("stop", "--mode=fast")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_promoted(self):
        if not (self.data / "postmaster.pid").exists():
            raise Failed("the server ended")
        with contextlib.closing(psycopg2.connect(**self.login("postgres"))) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT pg_is_in_recovery()")
            return not cursor.fetchone()[0]

    def _pg_ctl(self, verb, *options):
        self._backups.run(
            "pg_ctl", verb, f"--pgdata={self.data}", "--wait", f"--timeout={RECOVERY_SECONDS}", "--silent", *options
        )

    def _why(self):
        try:
            lines = (self.folder / "log").read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return " | ".join([line for line in lines if "FATAL" in line or "last completed transaction" in line][-3:])


def free_port():
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        return listener.getsockname()[1]

"""The members of the PostgreSQL cluster on this machine: their folders, programs and sessions.

What a member is, its data folder says: with standby.signal in it PostgreSQL starts as a standby, which refuses writes,
and without it as a primary. Nobody has to be told who the primary is: the `primary_conninfo` of every member names all
of them, and takes the one that accepts writes.

Invariant: at most one data folder is without standby.signal, but while somebody changes it by hand.

With automatic failover it is otherwise: Patroni runs the members, whoever holds its lock is the primary, and a data
folder tells no more than what its member was when it ran last.
"""

import contextlib
import fcntl
import os
import re
import threading
import time
import xmlrpc.client
from pathlib import Path

import psycopg2
import psycopg2.extras
import yaml
from ansible.module_utils.patroni import Patroni
from supervisor.xmlrpc import SupervisorTransport

HOST = "127.0.0.1"
SIGNAL = "standby.signal"
CONNECT_SECONDS = 2  # libpq's least
STATEMENT_SECONDS = 15
POLL_SECONDS = 0.1

# A message in the WAL, for no one: it needs a transaction and its commit, as any write does, and leaves nothing behind.
WRITE = "SELECT pg_logical_emit_message(true, 'playbooks', 'a write')"


class Failed(Exception):
    """What is wrong, and the remedy."""


class Member:
    """One server, as the playbooks wrote it down. `port` is None where it was not deployed."""

    def __init__(self, state_dir, name):
        self.name = name
        self.number = int(name.removeprefix("postgresql").removeprefix("-") or 1)
        self.slot = name.replace("-", "_")
        self.folder = state_dir / "postgresql"
        self.data = self.folder / f"data{name.removeprefix('postgresql')}"
        self.fenced = self.data.with_name(f"{self.data.name}.fenced")
        self._state_dir = state_dir
        self.patroni, self.conninfo = None, None
        if configuration := yaml.safe_load(_read(state_dir / "config" / f"{name}.yml") or "null"):
            self.patroni = Patroni(configuration)
            self.port = int(configuration["postgresql"]["listen"].rpartition(":")[2])
            self.bin = configuration["postgresql"]["bin_dir"]
            cluster = yaml.safe_load(_read(state_dir / "config" / "cluster.yml"))
            self.synchronous_replicas = cluster["synchronous_mode"] and cluster["synchronous_node_count"]
            return
        configuration = _read(state_dir / "config" / f"{name}.conf")
        self.port = _found(r"(?m)^port = (\d+)", configuration, int)
        self.conninfo = _found(r"(?m)^primary_conninfo = '(.*)'", configuration)
        self.synchronous_replicas = _found(r"synchronous_standby_names = 'ANY (\d+)", configuration, int) or 0
        self.bin = _found(r"(?m)^command = (\S+)/postgres ", _read(state_dir / "config" / "programs" / f"{name}.conf"))

    @property
    def has_data(self):
        return (self.data / "PG_VERSION").exists()

    @property
    def is_fenced(self):
        """A primary that was replaced, and not made a replica since. Nothing can start it: its data lie aside."""
        return self.fenced.exists() and not self.data.exists()

    @property
    def is_standby(self):
        """On disk: what it would start as."""
        return (self.data / SIGNAL).exists()

    def mark_standby(self, data=None):
        """From now on, whoever starts this member starts a standby. Durable when it returns."""
        data = data or self.data
        owner = data.stat()
        descriptor = os.open(data / SIGNAL, os.O_WRONLY | os.O_CREAT, 0o600)
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
        for each in (descriptor, os.open(data, os.O_RDONLY)):
            os.fsync(each)
            os.close(each)

    def unmark_standby(self, data=None):
        ((data or self.data) / SIGNAL).unlink(missing_ok=True)

    @contextlib.contextmanager
    def session(self, **options):
        """A cursor of the superuser's; each statement commits by itself."""
        connection = psycopg2.connect(**self.login(HOST, self.port) | options)
        try:
            connection.autocommit = True
            with connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
                yield cursor
        finally:
            connection.close()

    def login(self, host, port):
        """The superuser's way in, by these addresses."""
        return {
            "host": host,
            "port": port,
            "user": "postgres",
            "dbname": "postgres",
            "password": _read(self._state_dir / "secrets" / "postgresql_superuser_password"),
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "playbooks",
            "options": f"-c statement_timeout={STATEMENT_SECONDS}s",
        }

    def run(self, sql):
        """The rows, as dictionaries. Raises `psycopg2.Error`."""
        with self.session() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []

    def write(self, seconds):
        """Raises `Failed` unless a write is acknowledged in time, by as many replicas as must have it."""
        outcome = []

        def attempt():
            try:
                self.run(WRITE)
                outcome.append(None)
            except psycopg2.Error as error:
                outcome.append(one_line(error))

        # A commit that waits for replicas obeys no statement_timeout, so the wait is bounded from here.
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(seconds)
        if not outcome:
            raise Failed(
                f"{self.name} is the primary, but no write was confirmed within {seconds:g} s: writes wait for "
                f"{self.synchronous_replicas} of its replicas. Bring them back with reinit-replica.yml, or deploy with "
                "postgresql_synchronous_replicas=0"
            )
        if outcome[0] is not None:
            raise Failed(f"{self.name} does not take a write: {outcome[0]}")


class Cluster:
    """All members that are deployed in a state folder, by number; with data or without."""

    def __init__(self, state_dir):
        self.state_dir = Path(state_dir)
        names = [path.stem for path in (self.state_dir / "config" / "programs").glob("postgresql*.conf")]
        members = [Member(self.state_dir, name) for name in names if re.fullmatch(r"postgresql(-\d+)?", name)]
        self.members = sorted(members, key=lambda member: member.number)
        self.programs = Programs(self.state_dir / "run" / "supervisor.sock")
        self.is_automatic = any(member.patroni for member in self.members)
        # The archive of WAL, where it is deployed, receives from whoever is the primary.
        has_archive = (self.state_dir / "config" / "programs" / "wal-archive.conf").exists()
        self._archive_slot = {"wal_archive"} if has_archive else set()

    def refuse_unless_replicated(self):
        if len(self.members) < 2:
            raise Failed(
                f"state_dir = {self.state_dir}: {len(self.members)} members of PostgreSQL are deployed there, and this "
                "needs two. Deploy with postgresql_members=3"
            )

    def member(self, name):
        """Raises `Failed` where there is none of this name."""
        for member in self.members:
            if member.name == name:
                return member
        raise Failed(f"member = {name}: there is no such member. Set member to one of {names(self.members)}")

    def servers(self):
        """Names of the catalog servers beside it, whether they run or not."""
        return sorted(path.stem for path in (self.state_dir / "config" / "programs").glob("replica-*.conf"))

    def leaders(self):
        """Those whose Patroni holds the lock, each in its own words; without automatic failover nobody."""
        return [member for member in self.members if member.patroni and member.patroni.leads()]

    def primaries(self):
        """Those who lead, or where nobody does, whose data folders say so; there should be one."""
        return self.leaders() or [member for member in self.members if member.has_data and not member.is_standby]

    def the_primary(self):
        primaries = self.primaries()
        if len(primaries) == 1:
            return primaries[0]
        if self.is_automatic:
            raise Failed("no member leads. Patroni elects one: wait until status.yml is content, or run failover.yml")
        if not primaries:
            raise Failed(
                "no member's data folder is a primary's: a failover was begun and not finished. Run failover.yml"
            )
        raise Failed(
            f"the data folders of {names(primaries)} are all a primary's. Decide which one holds the truth, stop the "
            f"others (supervisorctl stop NAME), make the file {SIGNAL} in their data folders, and repeat"
        )

    def lock(self):
        """One change of roles at a time."""
        return locked(self.state_dir / "run" / "postgresql-roles.lock", "switchover, failover or reinit")

    def arrange_slots(self, primary):
        """The primary keeps WAL for the others and the archive, they for nobody. Returns whether it was otherwise."""
        changed = False
        for member in self.members:
            wanted = {other.slot for other in self.members if other is not primary} | self._archive_slot
            wanted = wanted if member is primary else set()
            try:
                with member.session() as cursor:
                    cursor.execute("SELECT slot_name, active FROM pg_replication_slots WHERE slot_type = 'physical'")
                    slots = {row["slot_name"]: row["active"] for row in cursor.fetchall()}
                    for name in sorted(wanted - slots.keys()):
                        cursor.execute("SELECT pg_create_physical_replication_slot(%s, true)", [name])
                        changed = True
                    for name in sorted(slots.keys() - wanted):
                        if not slots[name]:
                            cursor.execute("SELECT pg_drop_replication_slot(%s)", [name])
                            changed = True
            except psycopg2.OperationalError:
                if member is primary:
                    raise  # a standby that is down is made anew, or arranged next time
        return changed


class Programs:
    """The deployment's supervisord, which keeps members running."""

    def __init__(self, socket):
        self._socket = socket

    def names(self):
        return [program["name"] for program in self._call("getAllProcessInfo")]

    def state(self, name):
        try:
            return self._call("getProcessInfo", name)["statename"].lower()
        except Failed:
            return "not started"

    def pid(self, name):
        """0 where it does not run."""
        try:
            return self._call("getProcessInfo", name)["pid"]
        except Failed:
            return 0

    def start(self, name):
        """Returns at once."""
        self._call("startProcess", name, False)

    def stop(self, name, *, wait):
        """In its orderly way. It is not started again, also where it dies on the way."""
        self._call("stopProcess", name, wait)

    def end(self, name):
        """Waits for its end. Returns whether there was anything to be ended, a program between two starts included."""
        if self.state(name) not in ("running", "starting", "backoff"):
            return False
        self.stop(name, wait=True)
        return True

    def _call(self, method, *arguments):
        transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        try:
            with contextlib.closing(transport):
                proxy = xmlrpc.client.ServerProxy(f"http://{HOST}", transport=transport)
                return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultString.split(":")[0] in ("ALREADY_STARTED", "NOT_RUNNING"):
                return None
            raise Failed(f"supervisord refused {method} {arguments}: {fault.faultString}") from fault
        except (OSError, xmlrpc.client.Error) as error:
            raise Failed(f"supervisord does not answer ({error}). Run `make deploy`") from error


@contextlib.contextmanager
def locked(path, what):
    """One at a time; raises `Failed` where another is at it. The kernel frees it however the process ends."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failed(f"another {what} is under way. Wait for its end") from None
        yield


def wait_until(condition, seconds, what):
    """Polls until the condition is true, and returns it; raises `Failed` after the bound."""
    give_up_at = time.monotonic() + seconds
    while not (result := condition()):
        if time.monotonic() > give_up_at:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(POLL_SECONDS)
    return result


def names(members):
    return ", ".join(member.name for member in members)


def one_line(error):
    return " ".join(str(error).split())


def _read(path):
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _found(pattern, text, kind=str):
    match = re.search(pattern, text)
    return kind(match[1]) if match else None

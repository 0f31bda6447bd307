"""Two regions: what of the schema the second one is sent, and how each of them is reached.

Every table is either sent or a region's own. One that is neither was added to the schema without a decision, and is
refused: to send what belongs to the processes of one region, or to leave out what users wrote, would both be found out
at a promotion, when it is too late.
"""

import json
from pathlib import Path

import psycopg2
import psycopg2.extensions
from ansible.module_utils.durable_files import write_durably
from ansible.module_utils.postgresql_cluster import HOST, Cluster, Failed

PUBLICATION = "second_region"
SUBSCRIPTION = "first_region"

# What users wrote, and what the work on it needs in order to go on elsewhere. A transaction of the first region is one
# of the second as well: a job's completion and its effect arrive together, or neither does.
SENT = (
    "catalog_sources",
    "catalog_labels",
    "catalog_models",
    "catalog_artifacts",
    "jobs",  # with their claims, which a promotion ends: nobody there holds them
    "job_attempts",
    "probes",
    "probe_effects",
)

# And why.
OWN = {
    "schema_migrations": "each region is migrated by itself, the second one first",
    "replicas": "processes of this region, seen by its clock",
    "leadership_leases": "who leads this region; a lease of the other one would keep anybody here from leading",
    "leadership_epochs": "the fence of this region's leaders: sent, it would be raised from outside",
    "leadership_terms": "numbered by those epochs",
    "singleton_ticks": "rounds of those terms, in the order of their epochs, which begin anew after a promotion",
}

# Sequences that belong to no column, and the columns that hold what was drawn from them.
COUNTERS = {"job_claim_tokens": (("jobs", "claim_token"), ("job_attempts", "token"))}

_TABLES = """
    SELECT relname AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname
"""
_FREE_SEQUENCES = """
    SELECT relname AS name FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
      AND NOT EXISTS (SELECT FROM pg_depend
                      WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype IN ('a', 'i'))
"""
_COLUMN_SEQUENCES = """
    SELECT relname AS "table", attname AS "column", pg_get_serial_sequence(quote_ident(relname), attname) AS sequence
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
    WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)
      AND pg_get_serial_sequence(quote_ident(relname), attname) IS NOT NULL
"""
_HISTORY = "SELECT number, name, checksum, oldest_server_head FROM schema_migrations ORDER BY number"


class Region:
    """A deployment's database, on the member that is the primary."""

    def __init__(self, state_dir):
        self.state_dir = Path(state_dir)
        self.cluster = Cluster(state_dir)
        self.note = Note(self.state_dir)

    def session(self):
        """A cursor of the superuser's in the application's database; each statement commits by itself."""
        return self.cluster.the_primary().session(dbname=self._application()["dbname"])

    def rows(self, sql, parameters=None):
        with self.session() as cursor:
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def answers(self):
        """None where it does, else why not."""
        try:
            self.rows("SELECT 1")
        except (Failed, OSError, psycopg2.Error) as error:
            return " ".join(str(error).split())
        return None

    def address(self, role, passfile):
        """For the second region's PostgreSQL: whichever member takes writes, also after a change of roles."""
        members = self.cluster.members
        hosts, ports = ",".join([HOST] * len(members)), ",".join(str(member.port) for member in members)
        return (
            f"host={hosts} port={ports} dbname={self._application()['dbname']} user={role} passfile={passfile} "
            "target_session_attrs=read-write connect_timeout=5"
        )

    def running_servers(self):
        """Names of catalog servers that run, or are being started."""
        servers = self.cluster.servers()
        return [name for name in servers if self.cluster.programs.state(name) in ("running", "starting", "stopping")]

    def _application(self):
        return psycopg2.extensions.parse_dsn((self.state_dir / "secrets" / "database_dsn").read_text())


class Note:
    """What a region knows of itself, on disk: {} where it never followed another one.

    `state` is "second" from before the subscription is made until after it is dropped, and "promoted" from then on.
    While it is "second", no playbook starts a catalog server.
    """

    def __init__(self, state_dir):
        self._path = state_dir / "config" / "region.json"

    def read(self):
        try:
            return json.loads(self._path.read_text())
        except FileNotFoundError:
            return {}

    def write(self, **values):
        """Adds to what is noted, durably. Returns whether it was otherwise."""
        before = self.read()
        if before | values == before:
            return False
        write_durably(self._path, json.dumps(before | values, indent=2) + "\n")
        return True


def slot_name(second):
    """Of the second region on the first one's primary: by its cluster, so that two of them never share one."""
    return f"region_{second.rows('SELECT system_identifier FROM pg_control_system()')[0]['system_identifier']}"


def sent_tables(region):
    """Those of this region's schema. Raises `Failed` where there is something in it that nobody has decided on."""
    tables = [row["name"] for row in region.rows(_TABLES)]
    undecided = [name for name in tables if name not in SENT and name not in OWN]
    undecided += [row["name"] for row in region.rows(_FREE_SEQUENCES) if row["name"] not in COUNTERS]
    if undecided:
        raise Failed(
            f"{region.state_dir}: {', '.join(undecided)} of the schema is neither sent to the second region nor said "
            "to be a region's own. Decide on it in playbooks/module_utils/regions.py"
        )
    return [name for name in SENT if name in tables]


def sequences(region):
    """(sequence, columns that its values are in) for each that numbers what was sent."""
    owned = [
        (row["sequence"], ((row["table"], row["column"]),)) for row in region.rows(_COLUMN_SEQUENCES, [list(SENT)])
    ]
    return owned + [(f"public.{name}", columns) for name, columns in COUNTERS.items()]


def history(region):
    """The versions of its schema, oldest first; none where it was never migrated."""
    if region.rows("SELECT to_regclass('schema_migrations') AS name")[0]["name"] is None:
        return []
    return [dict(row) for row in region.rows(_HISTORY)]


def schema_problem(first, second):
    """Why rows of a first region with this history can not go into a second one with that; None where they can.

    The second may be ahead, because it is migrated first, but by versions that only expand: then it has every column
    that it is sent. That is the servers' own rule, with the first region in the place of an older server.
    """
    head = first[-1]["number"] if first else 0
    if not first:
        return "the first region has no schema yet. Deploy it first"
    if not second or second[-1]["number"] < head:
        return (
            f"the first region is at schema version {name(first[-1])}, and the second one knows "
            f"{name(second[-1]) if second else 'none'}: it is migrated first, never last. Run second-region.yml of a "
            "checkout that has this version"
        )
    for one, other in zip(first, second, strict=False):
        if one["checksum"] != other["checksum"]:
            return (
                f"schema version {name(one)} of the first region is not version {name(other)} of the second one: their "
                "checksums differ. Run second-region.yml of the checkout that the first region was deployed from"
            )
    for row in second[head:]:
        if row["oldest_server_head"] > head:
            return (
                f"schema version {name(row)} of the second region contracts: it lacks what the first region, at "
                f"{name(first[-1])}, still sends. Bring the first region to {row['oldest_server_head']:04d} or later, "
                "or run second-region.yml of the checkout that it was deployed from"
            )
    return None


def name(row):
    return f"{row['number']:04d}_{row['name']}"

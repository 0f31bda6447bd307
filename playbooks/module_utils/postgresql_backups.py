"""The backups of the database: their folders, the record of each, which ones a restore needs and which ones may go.

A backup is there exactly when its folder has its name: it is made under another, with the record written last. Records
are never changed. An incremental backup holds the blocks that changed since its parent, and is worth nothing alone.

Invariant: whatever is deleted, every backup that is left has its parents and all WAL from its own beginning on.
"""

import datetime
import json
import re
import shutil
from pathlib import Path

from ansible.module_utils.postgresql_cluster import Failed, locked, wait_until
from ansible.module_utils.postgresql_programs import run
from ansible.module_utils.postgresql_view import look

RECEIVER = "wal-archive"  # the program; its slot is called the same, with an underscore
SEGMENT = re.compile(r"([0-9A-F]{8})([0-9A-F]{16})(\.partial)?")
SEGMENT_BYTES = 16 * 1024 * 1024
ID_FORMAT = "%Y%m%dT%H%M%SZ"


class Backups:
    """All of a deployment. Raises `Failed` where it makes none."""

    def __init__(self, state_dir):
        self.state_dir = Path(state_dir)
        try:
            settings = json.loads((self.state_dir / "config" / "backups.json").read_text())
        except FileNotFoundError:
            raise Failed(
                f"state_dir = {state_dir}: no backups are made there. Deploy with postgresql_backups=true"
            ) from None
        self.folder = Path(settings["folder"])
        self.bases, self.wal, self.aside, self.dumps = (
            self.folder / name for name in ("base", "wal", "wal-aside", "dumps")
        )
        self.keep_full, self.full_every = settings["keep_full"], settings["full_every"]
        self.keep_dumps = settings["keep_dumps"]
        self.database, self.database_role = settings["database"], settings["database_role"]
        self.bin = Path(settings["postgresql_bin"])
        self.password_file = settings["password_file"]

    def data(self, backup):
        return self.bases / backup["id"] / "data"

    def records(self):
        """Of every complete backup, the oldest first."""
        return [json.loads(path.read_text()) for path in sorted(self.bases.glob("*Z/backup.json"))]

    def run(self, program, *arguments, **environment):
        """One of PostgreSQL's programs; its output. Raises `Failed` with what it said last."""
        done = run(self.folder, [self.bin / program, *arguments], **environment)
        if done.returncode:
            said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
            raise Failed(f"{program} failed: {' '.join(said[-3:]) or f'it ended with {done.returncode}'}")
        return done.stdout

    def verify(self, data):
        """Compares every file with its checksum in the manifest, and reads the WAL. Raises `Failed`."""
        self.run("pg_verifybackup", "--quiet", data)

    def lock(self):
        """One backup or restore at a time."""
        return locked(self.state_dir / "run" / "backups.lock", "backup or restore")


def chain(records, backup):
    """The backup with all its parents, the full one first. Raises `Failed` where one is missing."""
    by_id = {record["id"]: record for record in records}
    found = [backup]
    while found[0]["parent"] is not None:
        parent = by_id.get(found[0]["parent"])
        if parent is None:
            raise Failed(f"backup {found[0]['id']}: its parent {found[0]['parent']} is missing. Restore another backup")
        found.insert(0, parent)
    return found


def choose(records, target_time):
    """The newest backup that was complete at the time; the newest of all without one. Raises `Failed`."""
    if not records:
        raise Failed("there is no backup yet. Make one: backup.yml")
    if target_time is None:
        return records[-1]
    usable = [record for record in records if moment(record["ended_at"]) <= target_time]
    if not usable:
        raise Failed(
            f"target_time = {target_time.isoformat(' ')}: the oldest backup was complete at {records[0]['ended_at']}. "
            "Set target_time to a later time"
        )
    return usable[-1]


def parent_of_next(records, full_every):
    """The backup that the next one adds to; None where it has to be a full one: every so many backups one is."""
    for age, record in enumerate(reversed(records), start=1):
        if age >= full_every:
            return None
        if record["kind"] == "full":
            return records[-1]
    return None


def outdated(records, keep_full):
    """Backups that retention gives up: what is older than the oldest full one of those that are kept."""
    full = [record["id"] for record in records if record["kind"] == "full"]
    if len(full) <= keep_full:
        return []
    return [record for record in records if record["id"] < full[-keep_full]]


def unneeded_wal(names, records):
    """Of these segments, those that no backup needs: what ends before the first of them begins."""
    if not records:
        return []
    oldest = min(segment_number(record["start_lsn"]) for record in records)
    matches = [(name, SEGMENT.fullmatch(name)) for name in names]
    return [name for name, match in matches if match and number_in_name(match) < oldest]


def number_in_name(match):
    """A segment's place in the WAL, whatever its timeline."""
    return (int(match[2][:8], 16) << 8) + int(match[2][8:], 16)


def segment_number(lsn):
    return lsn_bytes(lsn) // SEGMENT_BYTES


def lsn_bytes(lsn):
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def choose_source(cluster, primary):
    """The replica with the highest number that follows; the primary where there is none."""
    views = {view.member.name: view for view in look(cluster)}
    following = [view.member for name, view in views.items() if view.standby and name in views[primary.name].followers]
    return following[-1] if following else primary


def end_and_archived(primary):
    """(where the primary's WAL ends, how far the archive has it on disk), in bytes; None where it does not receive."""
    row = primary.run(
        "SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint AS finish,"
        " (SELECT max(flush_lsn - '0/0')::bigint FROM pg_stat_replication WHERE application_name = 'wal_archive')"
        " AS archived"
    )[0]
    return row["finish"], row["archived"]


def wait_for_archive(primary, seconds):
    """Until it has all that the primary has by now. Raises `Failed`."""
    finish, _ = end_and_archived(primary)
    what = "the archive has all WAL until now (its log: wal-archive.log)"
    wait_until(lambda: (end_and_archived(primary)[1] or 0) >= finish, seconds, what)


def read_manifest(data):
    """(first LSN, last LSN, last timeline) of the WAL that the backup needs to become consistent."""
    ranges = json.loads((data / "backup_manifest").read_text())["WAL-Ranges"]
    return ranges[-1]["Start-LSN"], ranges[0]["End-LSN"], ranges[0]["Timeline"]


def tree_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def now():
    return datetime.datetime.now(datetime.UTC)


def moment(text):
    """Raises `Failed` unless the text is a time with its offset from UTC."""
    try:
        found = datetime.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise Failed(
            f"target_time = {text}: must be a time with its offset from UTC, such as '2026-01-31 12:00:00+00:00'"
        )
    return found


def delete(backups, record):
    """Under another name first, so that a deletion that is interrupted leaves no half of a backup."""
    gone = backups.bases / f"{record['id']}.new"
    (backups.bases / record["id"]).rename(gone)
    shutil.rmtree(gone)

"""How far a second region is behind the first, as both of them see it; the table of it, and what is wrong."""

import time

import psycopg2
from ansible.module_utils.postgresql_cluster import POLL_SECONDS, Failed
from ansible.module_utils.regions import SENT, SUBSCRIPTION, slot_name
from tabulate import tabulate

MARK_SECONDS = 5  # longest wait for a mark; a region further behind than this is told so

_SUBSCRIPTION = f"""
    SELECT oid, subenabled AS enabled, 'pg_' || oid AS origin,
           (SELECT pid FROM pg_stat_subscription WHERE subid = s.oid AND worker_type = 'apply') AS pid,
           (SELECT received_lsn FROM pg_stat_subscription WHERE subid = s.oid AND worker_type = 'apply') AS received,
           (SELECT apply_error_count + sync_error_count FROM pg_stat_subscription_stats WHERE subid = s.oid) AS errors,
           ARRAY(SELECT srrelid::regclass::text FROM pg_subscription_rel
                 WHERE srsubid = s.oid AND srsubstate <> 'r' ORDER BY 1) AS copying
    FROM pg_subscription AS s
    WHERE subname = '{SUBSCRIPTION}' AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

# Transaction numbers are handed out in the order of applying, so the last one that came from there is the newest. A
# number that was given out too long ago has no time any more.
_NEWEST = """
    SELECT time FROM txid_snapshot_xmax(txid_current_snapshot()) AS next,
                     generate_series(next - 1, greatest(3, next - 200000), -1) AS n,
                     LATERAL pg_xact_commit_timestamp_origin(mod(n, 4294967296)::text::xid) AS c (time, origin)
    WHERE mod(n, 4294967296) >= 3 AND origin = (SELECT roident FROM pg_replication_origin WHERE roname = %s)
    ORDER BY n DESC LIMIT 1
"""
_SLOTS = """
    SELECT slot_name AS name, active, wal_status = 'lost' OR invalidation_reason IS NOT NULL AS lost,
           pg_current_wal_flush_lsn() - confirmed_flush_lsn AS bytes, confirmed_flush_lsn AS lsn,
           extract(epoch FROM clock_timestamp() - inactive_since)::float AS away_seconds
    FROM pg_replication_slots WHERE slot_type = 'logical' AND slot_name ~ '^region_\\d+$' ORDER BY slot_name
"""


def slots(first):
    """What the first region keeps for second ones, by the slot's name."""
    return {row["name"]: row for row in first.rows(_SLOTS)}


def subscription(second):
    """None where there is none."""
    rows = second.rows(_SUBSCRIPTION)
    return rows[0] if rows else None


def newest_commit(second, origin):
    """When, by the first region's clock, the newest transaction was committed that this region has of it.

    None where there was none since the tables were copied.
    """
    rows = second.rows(_NEWEST, [origin])
    return rows[0]["time"] if rows else None


def applied_lsn(second, origin):
    """Where the newest transaction that this region has ends in the first one's log; None where there was none yet."""
    return second.rows("SELECT pg_replication_origin_progress(%s, true) AS lsn", [origin])[0]["lsn"]


def mark(first):
    """Where the first region's log ends now, after a mark in it that is for no one."""
    return first.rows("SELECT pg_logical_emit_message(false, 'playbooks', 'a mark', true) AS lsn")[0]["lsn"]


def confirmed(first, slot, lsn):
    """Whether the second region has all of the first one's log up to there."""
    rows = first.rows(
        "SELECT confirmed_flush_lsn >= %s AS has FROM pg_replication_slots WHERE slot_name = %s", [lsn, slot]
    )
    return bool(rows and rows[0]["has"])


class View:
    """One second region at one moment, with the first one where it answers (else `silence` says why)."""

    def __init__(self, first, second, mark_seconds=MARK_SECONDS):
        self.first, self.second = first, second
        self.slot = self.seconds = None
        self.subscription = subscription(second)
        self.silence = first.answers()
        self.newest = newest_commit(second, self.subscription["origin"]) if self.subscription else None
        if self.silence is None and self.subscription is not None:
            self.slot = slots(first).get(slot_name(second))
            if self.slot is not None and self.slot["active"]:
                self.seconds = seconds_behind(first, self.slot["name"], mark_seconds)

    @property
    def is_complete(self):
        """Whether every table was copied: from then on this region is the first one at some moment of its past."""
        return self.subscription is not None and not self.subscription["copying"]


def seconds_behind(first, slot, longest):
    """How long what is written now takes to be there; `longest` stands for more.

    Measured with a mark, because what PostgreSQL tells (`replay_lag`) is the delay of the last answer, and stays the
    same for as long as there is none.
    """
    begun_at = time.monotonic()
    lsn = mark(first)
    while not confirmed(first, slot, lsn):
        if time.monotonic() - begun_at > longest:
            return float(longest)
        time.sleep(POLL_SECONDS / 10)
    return time.monotonic() - begun_at


def find_problems(view, bytes_max):
    """A sentence for each, with the remedy."""
    if view.subscription is None:
        return ["this region follows nobody yet. Run second-region.yml"]
    problems = []
    if not view.subscription["enabled"]:
        problems.append(
            "the subscription is switched off, as by a promotion that did not come to its end. Run promote-region.yml "
            "to end it, or second-region.yml to follow on"
        )
    if view.silence is not None:
        return [
            *problems,
            f"the first region's database does not answer ({view.silence}). Is it lost, run promote-region.yml",
        ]
    if view.slot is None or view.slot["lost"]:
        return [
            *problems,
            "the first region keeps nothing for this one any more (its primary was replaced, or this region was away "
            "for longer than postgresql_slot_wal_keep_size): copy all anew, second-region.yml -e copy=true",
        ]
    if not view.slot["active"] and view.subscription["enabled"]:
        problems.append(
            f"nothing arrives from the first region, for {view.slot['away_seconds'] or 0:.0f} s; the log of this "
            "region's postgresql says why"
        )
    if view.slot["bytes"] > bytes_max:
        problems.append(
            f"this region is {view.slot['bytes']} bytes behind, and status_lag_max_bytes is {bytes_max}: a loss of the "
            "first region now would cost them. Wait, or find out what holds it up"
        )
    return problems


def render(view):
    state, behind = _describe(view)
    newest = view.newest.isoformat(sep=" ", timespec="milliseconds") if view.newest else "none since the copy"
    row = ["second", str(view.first.state_dir), state, newest, behind]
    return tabulate([row], headers=["region", "follows", "state", "newest write", "behind"], disable_numparse=True)


def _describe(view):
    if view.subscription is None:
        return "not set up", ""
    if view.silence is not None:
        return "first region is silent", "unknown"
    if view.slot is None or view.slot["lost"]:
        return "broken off", "unknown"
    behind = f"{int(view.slot['bytes'])} bytes"
    if not view.slot["active"]:
        return "cut off", f"{behind}, {view.slot['away_seconds'] or 0:.1f} s away"
    if view.subscription["copying"]:
        return f"copies {len(view.subscription['copying'])} of {len(SENT)} tables", behind
    more = "more than " if view.seconds >= MARK_SECONDS else ""
    return "follows", f"{behind}, {more}{view.seconds:.2f} s"


def render_followers(first):
    """The first region's own table of who follows it; None where nobody does, or it can not be asked."""
    try:
        found = slots(first)
    except (Failed, OSError, psycopg2.Error):
        return None
    rows = [
        [
            name,
            "lost"
            if slot["lost"]
            else "connected"
            if slot["active"]
            else f"away for {slot['away_seconds'] or 0:.0f} s",
            f"{int(slot['bytes'] or 0)} bytes",
        ]
        for name, slot in found.items()
    ]
    headers = ["followed by", "state", "behind"]
    return tabulate(rows, headers=headers, disable_numparse=True) if rows else None

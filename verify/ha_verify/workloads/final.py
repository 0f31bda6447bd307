"""What is left when the dust has settled: the tables, and what each replica serves."""

import hashlib
import json
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import aiohttp

from ha_verify.history import OBSERVER, Recorder
from ha_verify.targets import Replica, Target
from ha_verify.workloads.reads import BASE_PATH

ROWS_PER_PART = 500
_PAGE_SIZE = 1000
_TIMEOUT_SECONDS = 30.0

# Rows that this run made or touched: a deployment may have seen others before. The parameter is when it began.
_OF_THIS_RUN = {
    "jobs": "created_at >= {began} OR finished_at >= {began} OR state IN ('available', 'running') ORDER BY id",
    "job_attempts": "finished_at >= {began} ORDER BY token",
    "probes": "created_at >= {began} ORDER BY created_at, value",
    "probe_effects": "at >= {began} ORDER BY id",
    "singleton_ticks": "at >= {began} ORDER BY id",
    "leadership_terms": "started_at >= {began} OR ended_at >= {began} OR ended_at IS NULL ORDER BY epoch",
    "schema_migrations": "TRUE ORDER BY number",
}


async def database_time(target: Target) -> float:
    """The database's clock in seconds since 1970: the mark from which on rows belong to a run."""
    rows = await target.sql("SELECT extract(epoch FROM clock_timestamp())::double precision AS now")
    return float(rows[0]["now"])


async def dump_tables(recorder: Recorder, target: Target, began: float) -> None:
    """Records what the tables hold of the time since `began`; times as seconds since 1970."""
    for table, condition in _OF_THIS_RUN.items():
        try:
            rows = await target.sql(f"SELECT * FROM {table} WHERE {condition.format(began=f'to_timestamp({began!r})')}")
            columns = list(rows[0]) if rows else await _columns(target, table)
        except Exception as error:
            value = {"table": table, "columns": [], "rows": []}
            recorder.record("info", OBSERVER, "table", value, f"{type(error).__name__}: {str(error).strip()}")
            continue
        plain = [[_plain(row[column]) for column in columns] for row in rows]
        for first in range(0, max(len(plain), 1), ROWS_PER_PART):
            part = plain[first : first + ROWS_PER_PART]
            recorder.record("info", OBSERVER, "table", {"table": table, "columns": columns, "rows": part})


async def record_checksums(recorder: Recorder, replicas: list[Replica]) -> None:
    """Records a digest of all that each replica serves of the catalog; an error where it serves nothing."""
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for replica in replicas:
            try:
                digest, error = await _digest(session, replica.url), None
            except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError) as caught:
                digest, error = None, f"{type(caught).__name__}: {caught}"
            recorder.record("info", OBSERVER, "checksum", {"replica": replica.name, "digest": digest}, error)


async def _digest(session: aiohttp.ClientSession, url: str) -> str:
    digest = hashlib.sha256()
    token = ""
    while True:
        page = f"{url}{BASE_PATH}/models?pageSize={_PAGE_SIZE}" + (f"&nextPageToken={quote(token)}" if token else "")
        async with session.get(page, raise_for_status=True) as response:
            document = await response.json()
        for item in document["items"]:
            digest.update(json.dumps(item, sort_keys=True).encode() + b"\n")
        token = document["nextPageToken"]
        if not token:
            return digest.hexdigest()


async def _columns(target: Target, table: str) -> list[str]:
    rows = await target.sql(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_name = %s AND table_schema = current_schema() ORDER BY ordinal_position",
        (table,),
    )
    return [row["column_name"] for row in rows]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, Decimal) else value

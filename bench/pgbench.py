"""The yardstick: PostgreSQL's own pgbench claims 50 and completes 50 of the same table, without any Python."""

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.processes import migrated, pool
from catalog_server.jobs import Queue
from support.postgres import BIN, PostgresServer

BATCH_SIZE = 50
SCRIPT = f"""
WITH next AS (
    SELECT id FROM jobs WHERE state = 'available' AND run_at <= statement_timestamp()
    ORDER BY priority, run_at, id LIMIT {BATCH_SIZE} FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET state = 'running', attempt = attempt + 1, claim_token = nextval('job_claim_tokens'),
    worker_id = 'pgbench-' || :client_id, claimed_at = clock_timestamp(), claim_expires_at = clock_timestamp()
FROM next WHERE jobs.id = next.id;
UPDATE jobs SET state = 'completed', finished_at = clock_timestamp(), claim_expires_at = NULL
WHERE state = 'running' AND worker_id = 'pgbench-' || :client_id;
"""


def loop(server: PostgresServer, *, clients: int, jobs: int) -> dict[str, Any]:
    """Jobs per second; claims and completions are both done by the server, and no ledger is written."""
    transactions = jobs // BATCH_SIZE // clients
    with migrated(server) as dsn, pool(dsn) as database, tempfile.TemporaryDirectory() as folder:
        with database.session() as session:
            Queue().enqueue_many(session, "noop", [{}] * jobs)
            session.execute("ANALYZE jobs")
        script = Path(folder) / "claim.sql"
        script.write_text(SCRIPT)
        arguments = [f"--client={clients}", f"--transactions={transactions}", "--no-vacuum", f"--file={script}", dsn]
        result = subprocess.run([BIN / "pgbench", *arguments], capture_output=True, text=True, check=True)
    found = re.search(r"tps = ([\d.]+)", result.stdout)
    assert found, result.stdout
    return {
        "clients": clients,
        "jobs": transactions * clients * BATCH_SIZE,
        "batch_size": BATCH_SIZE,
        "jobs_per_second": float(found[1]) * BATCH_SIZE,
    }

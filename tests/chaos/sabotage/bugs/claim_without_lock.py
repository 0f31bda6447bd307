"""Jobs are claimed without SKIP LOCKED and without a look at their state.

Two workers that ask at once read the same rows, and the second draws its claim over the first one's, or over a job
that is completed by then. The statement sleeps for 30 ms between what it reads and what it writes, to widen the window.
"""

from catalog_server.jobs import statements
from chaos.sabotage.editing import edit_constant

SCENARIO = "random-kills"
CLAIM = "claims-exclusive"


def apply() -> None:
    edit_constant(
        statements,
        "_CLAIM_POSTGRESQL",
        (" FOR UPDATE SKIP LOCKED\n    )", "\n    ), pause AS MATERIALIZED (SELECT pg_sleep(0.03))"),
        ("FROM next WHERE", "FROM next, pause WHERE"),
    )

"""/readyz answers 200 at once, without asking its checks."""

from catalog_server.http import health
from chaos.sabotage.editing import edit

SCENARIO = "partition"
CLAIM = "readiness-tells"


def apply() -> None:
    edit(health.ready, ("checks = await request.app[READINESS]()", "checks: Checks = {}"))

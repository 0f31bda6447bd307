"""/readyz answers 200 whatever its checks say."""

from catalog_server.http import health
from chaos.sabotage.editing import edit

SCENARIO = "partition"
CLAIM = "readiness-tells"


def apply() -> None:
    edit(health.ready, ("is_ready = all(check.ok for check in checks.values())", "is_ready = True"))

"""On SIGTERM the process ends at once: /readyz never fails, and requests in flight are cut off."""

from catalog_server.app.server import Server
from chaos.sabotage.editing import edit

SCENARIO = "rolling-restart"
CLAIM = "available"


def apply() -> None:
    edit(Server._shut_down, ('    log.info("draining")\n', '    __import__("os")._exit(0)\n'))

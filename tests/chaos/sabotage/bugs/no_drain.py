"""On SIGTERM the process ends at once: /readyz never fails, and requests in flight are cut off.

The load balancer repeats reads elsewhere; a write can not be repeated. Every write takes 1 s longer to answer, so that
some are in flight.
"""

from catalog_server.app.server import Server
from catalog_server.http import probes
from chaos.sabotage.editing import edit

SCENARIO = "rolling-restart"
CLAIM = "available"


def apply() -> None:
    edit(Server._shut_down, ('    log.info("draining")\n', '    __import__("os")._exit(0)\n'))
    edit(
        probes.accept,
        ("    if job is None:", '    await __import__("asyncio").sleep(1)\n    if job is None:'),
    )

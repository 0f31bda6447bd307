"""Jobs are queued without their dedupe key: a source that is queued for refresh already is queued again."""

from catalog_server.jobs.queue import Queue
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "dedupe"


def apply() -> None:
    edit(Queue.enqueue, ("dedupe_key=dedupe_key,\n            delay", "dedupe_key=None,\n            delay"))

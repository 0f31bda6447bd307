"""A job's effect is committed in a transaction of its own, before that of its completion.

A worker that dies between the two leaves a job that is rescued and has its effect again. The worker waits for 0.3 s
between the two, to widen the window.
"""

from catalog_server.jobs import Worker
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "effects-once"


def apply() -> None:
    edit(
        Worker._commit,
        ("        effect(session)\n", ""),
        (
            "        await self._until_answered(lambda: self._database.transaction(commit), claim)",
            "        await self._until_answered(lambda: self._database.transaction(effect), claim)\n"
            "        await asyncio.sleep(0.3)\n"
            "        await self._until_answered(lambda: self._database.transaction(commit), claim)",
        ),
    )

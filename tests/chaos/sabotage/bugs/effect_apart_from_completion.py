"""A job's effect is committed in a transaction of its own, before that of its completion.

A worker that dies between the two leaves a job that is rescued and has its effect again. The worker waits for a second
between the two, to widen the window; one that is killed with a job in its hands may still be outside of it, so several
are.
"""

from catalog_server.jobs import Worker
from chaos.sabotage.editing import edit

SCENARIO = "random-kills"
CLAIM = "effects-once"
OPTIONS = ("--trials", "3")


def apply() -> None:
    edit(
        Worker._commit,
        ("        effect(session)\n", ""),
        (
            "        await self._until_answered(lambda: self._database.transaction(commit), claim)",
            "        await self._until_answered(lambda: self._database.transaction(effect), claim)\n"
            "        await asyncio.sleep(1.0)\n"
            "        await self._until_answered(lambda: self._database.transaction(commit), claim)",
        ),
    )

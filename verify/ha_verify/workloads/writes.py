"""Writes with unique values, and the question at the end what became of each."""

import asyncio
from collections.abc import Iterable
from urllib.parse import quote
from uuid import uuid4

from ha_verify.history import Event
from ha_verify.workloads.client import Answer, Client, Request

PATH = "/api/v1/probes"
_AT_ONCE = 16
_ATTEMPTS = 5
_PAUSE_SECONDS = 0.5


class Writes:
    """Probes, each with a value that no other run has: a row, and a job whose effect shows if it is done twice."""

    f = "write"

    def __init__(self) -> None:
        self._run = uuid4().hex[:12]
        self._count = 0

    def next(self) -> Request:
        self._count += 1
        value = f"{self._run}-{self._count}"
        return Request(
            f=self.f, value={"value": value}, path=PATH, told=_told_job, method="POST", document={"value": value}
        )


async def read_back(client: Client, values: Iterable[str]) -> None:
    """Asks for every value, again where the question itself failed; each asking is an operation of its own.

    Where as many values as are asked for at once got no answer in a row, nobody serves: the others are left to what
    the table tells of them.
    """
    limit = asyncio.Semaphore(_AT_ONCE)
    unanswered = 0

    async def ask(value: str) -> None:
        nonlocal unanswered
        path = f"{PATH}/{quote(value, safe='')}"
        request = Request(f="read-back", value={"value": value}, path=path, told=_told_effects)
        async with limit:
            if unanswered >= _AT_ONCE:
                return
            for _ in range(_ATTEMPTS):
                completion: Event = await client.perform(request)
                if completion.type == "ok":
                    unanswered = 0
                    return
                await asyncio.sleep(_PAUSE_SECONDS)
            unanswered += 1

    await asyncio.gather(*(ask(value) for value in values))


def _told_job(answer: Answer) -> dict[str, object]:
    return {"job": answer.document["id"]}


def _told_effects(answer: Answer) -> dict[str, object]:
    """`effects` is how often the job's effect was seen."""
    if answer.status == 404:
        return {"found": False, "effects": 0}
    return {"found": True, "effects": len(answer.document["effects"])}

"""Sources whose content changes, and a request to read each again."""

import json
from collections.abc import Sequence
from urllib.parse import quote

from ha_verify.history import RUN, Event
from ha_verify.targets import NotPossible, Target
from ha_verify.workloads.client import Answer, Client, Request

MODELS_PER_SOURCE = 25


class Refreshes:
    """Each step changes the next source and asks for its refresh, one source after another.

    No refresh is asked for where the source could not be changed.
    """

    f = "refresh"

    def __init__(self, client: Client, target: Target, sources: Sequence[str]) -> None:
        self._client = client
        self._target = target
        self._sources = sources
        self._revision = 0

    async def step(self, intended_ns: int | None = None) -> Event:
        source = self._sources[self._revision % len(self._sources)]
        self._revision += 1
        mark = f"revision {self._revision}"
        try:
            await self._target.write_source(source, catalog(source, mark))
        except NotPossible as error:  # the way to the sources is away as well: nothing is asked of the server
            return self._client.recorder.record("info", RUN, "source not changed", {"source": source}, str(error))
        path = f"/api/v1/sources/{quote(source, safe='')}/refresh"
        request = Request(f=self.f, value={"source": source, "content": mark}, path=path, told=_told_job, method="POST")
        return await self._client.perform(request, intended_ns)


def catalog(source: str, mark: str) -> str:
    """A catalog file (JSON is YAML) of models whose names stay and whose descriptions carry the mark."""
    models = [
        {"name": f"{source}/model-{number:03}", "description": f"Model {number}, {mark}", "provider": source}
        for number in range(MODELS_PER_SOURCE)
    ]
    return json.dumps({"source": source, "models": models}, indent=1)


def _told_job(answer: Answer) -> dict[str, object]:
    return {"job": answer.document["id"]}

"""Reads as people browse: the first page of the catalog, a further page, one model."""

import random
from collections import deque
from urllib.parse import quote, urlencode

from ha_verify.workloads.client import Answer, Request

BASE_PATH = "/api/model_catalog/v1alpha1"
PAGE_SIZE = 10
_REMEMBERED = 200  # models and pages seen lately, to be asked for next


class Reads:
    """A mix, chosen by `rng`: half first pages, a quarter further pages, a quarter single models."""

    f = "read"

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._tokens: deque[str] = deque(maxlen=_REMEMBERED)
        self._models: deque[tuple[str, str]] = deque(maxlen=_REMEMBERED)

    def next(self) -> Request:
        chance = self._rng.random()
        if chance < 0.25 and self._models:
            source, name = self._rng.choice(self._models)
            return self._request(f"{BASE_PATH}/sources/{quote(source, safe='')}/models/{quote(name, safe='')}")
        if chance < 0.5 and self._tokens:
            return self._page({"nextPageToken": self._rng.choice(self._tokens)})
        return self._page({})

    def _page(self, parameters: dict[str, str]) -> Request:
        return self._request(f"{BASE_PATH}/models?{urlencode({'pageSize': PAGE_SIZE} | parameters)}")

    def _request(self, path: str) -> Request:
        return Request(f=self.f, value={"path": path}, path=path, told=self._learn)

    def _learn(self, answer: Answer) -> dict[str, object]:
        if answer.status == 200 and "items" in answer.document:
            self._models.extend((item["source_id"], item["name"]) for item in answer.document["items"])
            if answer.document["nextPageToken"]:
                self._tokens.append(answer.document["nextPageToken"])
        return {"status": answer.status, "replica": answer.headers.get("X-Replica")}

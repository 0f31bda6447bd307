"""Users of the catalog API. They read much, refresh little, and come at a steady pace whatever they get."""

import os
import random
import time
from typing import Any

import requests
from locust import User, task

BASE_PATH = "/api/model_catalog/v1alpha1"
TASKS_PER_SECOND = 1.0
TIMEOUT_SECONDS = 20.0
PAGE_SIZES = (5, 10, 20)
WORDS = ("model", "text", "image", "classify", "summar")
FINAL_STATES = ("completed", "dead", "cancelled")
POLL_SECONDS, POLLS = 0.5, 20


class CatalogUser(User):
    """One person, or program: a task begins every `1 / TASKS_PER_SECOND` seconds, or at once where it is late."""

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy between the load and what is loaded
        self._random = random.Random()
        token = os.environ.get("CATALOG_TOKEN")
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"
        self._intended_at = time.monotonic() + self._random.uniform(0, 1 / TASKS_PER_SECOND)
        self._is_first = True  # of its task: it counts from the intended start

    def wait_time(self) -> float:
        return max(0.0, self._intended_at - time.monotonic())

    def on_start(self) -> None:
        time.sleep(self.wait_time())

    @task(6)
    def browse(self) -> None:
        self._begin()
        self._get("models", f"{BASE_PATH}/models", pageSize=self._random.choice(PAGE_SIZES))

    @task(2)
    def page_through(self) -> None:
        """Follows up to four pages."""
        self._begin()
        token = ""
        for _ in range(4):
            parameters = {"pageSize": 10} | ({"nextPageToken": token} if token else {})
            page = self._get("models, next page" if token else "models", f"{BASE_PATH}/models", **parameters)
            token = (page or {}).get("nextPageToken", "")
            if not token:
                return

    @task(3)
    def search(self) -> None:
        self._begin()
        self._get("models, search", f"{BASE_PATH}/models", q=self._random.choice(WORDS))

    @task(3)
    def read_one(self) -> None:
        self._begin()
        page = self._get("models", f"{BASE_PATH}/models", pageSize=20)
        items = (page or {}).get("items") or []
        if items:
            model = self._random.choice(items)
            name = requests.utils.quote(model["name"], safe="")
            self._get("one model", f"{BASE_PATH}/sources/{model['source_id']}/models/{name}")

    @task(1)
    def refresh(self) -> None:
        """Asks for a refresh and polls its job until it has ended."""
        self._begin()
        sources = (self._get("sources", f"{BASE_PATH}/sources") or {}).get("items") or []
        if not sources:
            return
        source = self._random.choice(sources)["id"]
        job = self._request("POST", "refresh", f"/api/v1/sources/{source}/refresh", {})
        for _ in range(POLLS if job else 0):
            seen = self._get("job", f"/api/v1/jobs/{job['id']}")
            if seen is None or seen["state"] in FINAL_STATES:
                return
            time.sleep(POLL_SECONDS)
            self._intended_at += POLL_SECONDS  # waiting for a job is part of the task, not lateness

    def _begin(self) -> None:
        self._is_first = True

    def _get(self, name: str, path: str, **parameters: Any) -> Any:
        return self._request("GET", name, path, parameters)

    def _request(self, method: str, name: str, path: str, parameters: dict[str, Any]) -> Any:
        """The JSON body; None where the request failed, which is reported."""
        started_at = time.monotonic()
        if self._is_first:
            started_at = min(started_at, self._intended_at)
            self._intended_at += 1 / TASKS_PER_SECOND
            self._is_first = False
        body, length, error = None, 0, None
        try:
            url = f"{self.host}{path}"
            answer = self._session.request(
                method, url, params=parameters, timeout=TIMEOUT_SECONDS, allow_redirects=False
            )
            length = len(answer.content)
            answer.raise_for_status()
            body = answer.json()
        except (requests.RequestException, ValueError) as caught:
            error = caught
        self.environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=(time.monotonic() - started_at) * 1000,
            response_length=length,
            exception=error,
            context={},
        )
        return body

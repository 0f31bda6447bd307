"""One request is one operation: invoked when it is sent, completed by what is known of its effect."""

import asyncio
import heapq
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp

from ha_verify.history import Event, Recorder

Outcome = Literal["ok", "fail", "info"]

_NOT_FOUND = 404
_CONFLICTS = (408, 409)  # of a value that nobody else uses: an attempt of this very request may have got through
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `document` is the JSON body, None where there is none: a load balancer answers in HTML."""

    status: int
    document: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Request:
    """One operation to be sent. `told` says what of the answer the history keeps."""

    f: str
    value: Mapping[str, Any]
    path: str
    told: Callable[[Answer], Any]
    method: Literal["GET", "POST"] = "GET"
    document: Any = None

    @property
    def is_write(self) -> bool:
        return self.method != "GET"


def outcome_of(request: Request, answer: Answer) -> Outcome:
    """What an answer tells of the request's effect.

    A read that was not served is a failure, nothing else. A write's 5xx leaves open whether it was done (the
    connection to the database may have gone during the commit), but for the load balancer's own "no server".
    """
    if answer.status < 300:
        return "ok"
    if not request.is_write:
        return "ok" if answer.status == _NOT_FOUND else "fail"
    if answer.status in _CONFLICTS:
        return "info"
    if answer.status < 500 or (answer.status == _UNAVAILABLE and answer.document is None):
        return "fail"
    return "info"


class Client:
    """Sends requests to one address, as as many processes as are busy at once.

    A connection per request, or `kept_alive` ones: then an answer may be lost because the other side closed the
    connection just when it was used again, which is told as any other lost answer.
    """

    def __init__(
        self,
        recorder: Recorder,
        base_url: str,
        token: str | None,
        *,
        kept_alive: bool = False,
        deadline_seconds: float = 10.0,
        in_flight_max: int = 400,
    ) -> None:
        self.recorder = recorder
        self.counts: Counter[str] = Counter()  # completions by outcome, for the progress display
        self.in_flight = 0
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._kept_alive = kept_alive
        self._deadline = aiohttp.ClientTimeout(total=deadline_seconds)
        self._in_flight_max = in_flight_max
        self._processes: list[int] = []  # free ones, lowest first
        self._next_process = 0
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=0, force_close=not self._kept_alive)
        self._session = aiohttp.ClientSession(connector=connector, headers=self._headers, timeout=self._deadline)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def perform(self, request: Request, intended_ns: int | None = None) -> Event:
        """Sends the request as one operation and returns its completion. Never raises but when cancelled."""
        process = self._take_process()
        value = dict(request.value)
        value["intended_ns"] = self.recorder.now_ns() if intended_ns is None else intended_ns
        self.recorder.record("invoke", process, request.f, value)
        if self.in_flight >= self._in_flight_max:
            return self._complete("fail", process, request, None, f"client saturated: {self.in_flight} in flight")
        self.in_flight += 1
        try:
            outcome, told, error = await self._send(request)
        except asyncio.CancelledError:
            self._complete("info" if request.is_write else "fail", process, request, None, "the client was stopped")
            raise
        finally:
            self.in_flight -= 1
        return self._complete(outcome, process, request, told, error)

    async def _send(self, request: Request) -> tuple[Outcome, Any, str | None]:
        unknown: Outcome = "info" if request.is_write else "fail"
        try:
            answer = await self.ask(request)
        except aiohttp.ClientConnectorError as error:
            return "fail", None, f"not connected: {error.os_error.strerror or error.os_error}"
        except TimeoutError:
            return unknown, None, f"no answer within {self._deadline.total:g} s"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return unknown, None, f"answer lost: {type(error).__name__}: {error}"
        outcome = outcome_of(request, answer)
        if outcome != "ok":
            return outcome, None, _refusal(answer)
        try:
            return outcome, request.told(answer), None
        except (KeyError, TypeError, ValueError) as error:
            return unknown, None, f"HTTP {answer.status} with an unexpected body: {type(error).__name__}: {error}"

    async def ask(self, request: Request) -> Answer:
        """The bare exchange, unrecorded."""
        url = self._base_url + request.path
        async with self._session.request(request.method, url, json=request.document) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            return Answer(response.status, json.loads(body) if is_json else None, dict(response.headers))

    def _complete(self, outcome: Outcome, process: int, request: Request, told: Any, error: str | None) -> Event:
        self.counts[outcome] += 1
        event = self.recorder.record(outcome, process, request.f, told, error)
        if outcome != "info":  # as in Jepsen: whose operation may still happen does nothing more
            heapq.heappush(self._processes, process)
        return event

    def _take_process(self) -> int:
        if self._processes:
            return heapq.heappop(self._processes)
        self._next_process += 1
        return self._next_process - 1


def _refusal(answer: Answer) -> str:
    message = answer.document.get("message") if isinstance(answer.document, dict) else None
    return f"HTTP {answer.status}" + (f": {message}" if message else "")

"""A line to one member of the database on kind that leads through its node, not through a Service or the API."""

import atexit
import contextlib
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2

from ha_verify.targets.kind.commands import start
from ha_verify.targets.member_server import AskedMember
from ha_verify.targets.postgresql import OURS, STATEMENT_MS, Parameters

ATTEMPT_SECONDS = 1.0  # a member that is away is looked for no more often
WAY_SECONDS = 2.0  # for the way there and back, beside what PostgreSQL is given
MAX_UNANSWERED = 32  # of a node that is frozen: more would fill the pipe, and hold up whoever writes into it
END_SECONDS = 5.0

AGENT = Path(__file__).with_name("member_agent.py")
# The image's own user of PostgreSQL, whom the socket lets in as the superuser.
SESSION = {
    "host": "/run/postgresql",
    "user": "postgres",
    "application_name": OURS,
    "options": f"-c statement_timeout={STATEMENT_MS}",
}
# The container that runs of those that the pod had. What is run is in no process tree of the pod's: it is neither
# stopped nor killed with the member, and so can tell of it.
SCRIPT = """
tasks=$(ctr -n k8s.io tasks ls | awk '$3 == "RUNNING" { print $1, $2 }')
of='labels."io.kubernetes.pod.namespace"=='$1,'labels."io.kubernetes.pod.name"=='$2
for id in $(ctr -n k8s.io containers ls -q "$of,labels.\\"io.kubernetes.container.name\\"==$3"); do
  pid=$(awk -v id="$id" '$1 == id { print $2 }' <<<"$tasks"); test -n "$pid" || continue
  exec nsenter --target "$pid" --mount --setuid 999 --setgid 999 python3 -u -c "$4"
done
echo "$2 does not run on its node"; exit 1
"""


class NotReached(psycopg2.OperationalError):
    """Nothing was asked: there was no session."""


class Console(AskedMember):
    """`command` runs the agent. Blocking; several threads may ask at once.

    Invariant: each question has one answer, or `psycopg2.Error` within its time, whatever becomes of the node.
    """

    def __init__(self, name: str, command: Sequence[str], session: dict[str, Any] | None = None) -> None:
        self.name = name
        self._command = list(command)
        self._session = SESSION | (session or {})
        self._lock = threading.Lock()
        self._line: _Line | None = None
        self._tried_at = -ATTEMPT_SECONDS
        self._why_away = ""

    def ask(self, *statements: str, seconds: float) -> list[dict[str, Any]]:
        return self._ask([(each, ()) for each in statements], seconds, {"dbname": "postgres"})

    def query(self, query: str, parameters: Parameters, *, database: str, seconds: float) -> list[dict[str, Any]]:
        """Raises `NotReached` where this member is not the primary."""
        session = {"dbname": database, "target_session_attrs": "primary"}
        return self._ask([(query, parameters)], seconds, session)

    def _ask(
        self, statements: Sequence[tuple[str, Parameters]], seconds: float, session: dict[str, Any]
    ) -> list[dict[str, Any]]:
        line = self._connected()
        question = {"statements": statements, "seconds": seconds, "session": self._session | session}
        try:
            answer = line.ask(question, seconds + WAY_SECONDS)
        except NotReached as error:
            self._why_away = str(error)
            raise
        if "error" not in answer:
            return list(answer["rows"])
        if not answer["listens"]:
            self._why_away = answer["error"]
            self._hang_up(line)  # another container may run by now
        raise (psycopg2.OperationalError if answer["connected"] else NotReached)(answer["error"])

    def _connected(self) -> "_Line":
        with self._lock:
            if self._line is None or self._line.ended:
                if time.monotonic() - self._tried_at < ATTEMPT_SECONDS:
                    raise NotReached(f"{self.name} is away: {self._why_away}")
                self._tried_at = time.monotonic()
                self._line = _Line(self.name, self._command)
            return self._line

    def _hang_up(self, line: "_Line") -> None:
        with self._lock:
            if self._line is line:
                self._line = None
        line.close()

    def close(self) -> None:
        """A later question opens another line."""
        line = self._line
        if line is not None:
            self._hang_up(line)


class _Line:
    """One run of the agent."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._unanswered: dict[int, Future[dict[str, Any]]] = {}
        self._said = ""
        self.ended = False
        self._agent = start(command, stdin=subprocess.PIPE)
        atexit.register(self.close)
        threading.Thread(target=self._listen, daemon=True).start()

    def ask(self, question: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Raises `NotReached`."""
        answer: Future[dict[str, Any]] = Future()
        with self._lock:
            if self.ended:
                raise NotReached(f"{self._name} is away: {self._said}")
            if len(self._unanswered) >= MAX_UNANSWERED:
                raise NotReached(f"{self._name} has not answered the last {MAX_UNANSWERED} questions")
            number = next(self._numbers)
            self._unanswered[number] = answer
            assert self._agent.stdin is not None
            with contextlib.suppress(OSError):  # it ended: whoever listens tells
                self._agent.stdin.write(json.dumps({"id": number} | question) + "\n")
                self._agent.stdin.flush()
        try:
            return answer.result(seconds)
        except TimeoutError:
            raise NotReached(f"{self._name} said nothing for {seconds:g} s") from None

    def _listen(self) -> None:
        assert self._agent.stdout is not None
        for text in self._agent.stdout:
            told = _document(text)
            if told is None:
                self._said = text.strip()
                continue
            with self._lock:
                answer = self._unanswered.pop(told["id"])
            answer.set_result(told)
        self._agent.wait()
        with self._lock:
            self.ended = True
            left, self._unanswered = self._unanswered, {}
        for answer in left.values():
            answer.set_exception(NotReached(f"{self._name} is away: {self._said or 'the line ended'}"))
        atexit.unregister(self.close)

    def close(self) -> None:
        """The agent ends with its input; where its node is frozen, it does so later."""
        self._agent.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._agent.wait(END_SECONDS)


def _document(text: str) -> dict[str, Any] | None:
    """None for the words of a shell, or of Docker."""
    try:
        told = json.loads(text, object_hook=_typed)
    except ValueError:
        return None
    return told if isinstance(told, dict) and "id" in told else None


def _typed(document: dict[str, Any]) -> Any:
    match document:
        case {"ha-verify:datetime": text}:
            return datetime.fromisoformat(text)
        case {"ha-verify:decimal": text}:
            return Decimal(text)
        case _:
            return document

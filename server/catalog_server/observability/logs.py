"""Structured logs: one JSON object per line, with the context of the request, job or term at work.

Context travels in a context variable, so that a log call deep inside names the request it serves without
being handed it. Values of secrets never reach a log call; this module does not try to find them.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_context: ContextVar[dict[str, Any]] = ContextVar("log_context", default={})  # noqa: B039  (never mutated)

# What every log record has; anything else was passed as `extra` and belongs to the line.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


@contextmanager
def log_context(**fields: Any) -> Iterator[None]:
    """Adds fields (request_id, job_id, epoch, ...) to every line logged within the block."""
    token = _context.set(_context.get() | fields)
    try:
        yield
    finally:
        _context.reset(token)


class JsonFormatter(logging.Formatter):
    """time, level, logger, message, replica, then the context and the call's own fields."""

    def __init__(self, replica: str) -> None:
        super().__init__()
        self.replica = replica

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "replica": self.replica,
        }
        line |= _context.get()
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def configure_logging(replica: str, level: str) -> None:
    """Sends the logs of this process to standard output, replacing any earlier configuration."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(replica))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)

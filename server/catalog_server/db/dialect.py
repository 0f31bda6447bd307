"""The few fragments of SQL that PostgreSQL and SQLite spell differently."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal

_SQLITE_TIME = "strftime('%%Y-%%m-%%dT%%H:%%M:%%f+00:00', 'now'{shift})"


@dataclass(frozen=True)
class Dialect:
    """SQL fragments of one database system, to be placed into statements by the rooms that own them."""

    name: Literal["postgresql", "sqlite"]

    @property
    def now(self) -> str:
        """The database clock at this moment, not at the start of the transaction."""
        return "clock_timestamp()" if self.name == "postgresql" else _SQLITE_TIME.format(shift="")

    def after(self, parameter: str) -> str:
        """The database clock plus the seconds in the named parameter (negative for the past)."""
        if self.name == "postgresql":
            return f"(clock_timestamp() + make_interval(secs => %({parameter})s))"
        return _SQLITE_TIME.format(shift=f", %({parameter})s || ' seconds'")

    @property
    def for_update_skip_locked(self) -> str:
        """Row locks that pass over rows locked by others; SQLite locks the whole file instead."""
        return "FOR UPDATE SKIP LOCKED" if self.name == "postgresql" else ""

    @property
    def for_share(self) -> str:
        """Row locks that keep the row unchanged until the transaction ends."""
        return "FOR SHARE" if self.name == "postgresql" else ""

    def any_of(self, column: str, parameter: str) -> str:
        """`column` is among the values of the parameter, which must be made by `array`."""
        if self.name == "postgresql":
            return f"{column} = ANY(%({parameter})s)"
        return f"{column} IN (SELECT value FROM json_each(%({parameter})s))"

    def array(self, values: Sequence[Any]) -> Any:
        """The value of a parameter used by `any_of`."""
        return list(values) if self.name == "postgresql" else json.dumps(list(values))

    def to_datetime(self, value: Any) -> Any:
        """A time read from the database as an aware `datetime`; None stays None."""
        return datetime.fromisoformat(value) if isinstance(value, str) else value

    def to_json(self, value: Any) -> Any:
        """A JSON column read from the database, decoded."""
        return json.loads(value) if isinstance(value, str) else value

    def statement(self, sql: str) -> str:
        """The statement with this driver's parameter style."""
        return sql if self.name == "postgresql" else _to_sqlite_style(sql)


@lru_cache(maxsize=512)
def _to_sqlite_style(sql: str) -> str:
    return re.sub(r"%\((\w+)\)s", r":\1", sql).replace("%%", "%")

"""Shifts the wall clock that one Python process sees; its monotonic clock goes on as it is.

Python imports a module of this name when it starts, from the folder that PYTHONPATH names. The shift, in seconds,
is HA_VERIFY_CLOCK_SHIFT_SECONDS. What is shifted is what Python code reads: time.time, time.time_ns, datetime.now,
datetime.utcnow, date.today. Non-guarantees: C libraries (libpq, OpenSSL) and the kernel (times of files) still see
the true time.
"""

import datetime
import os
import time
from datetime import date as _date
from datetime import datetime as _datetime
from typing import Any

_SHIFT = float(os.environ.get("HA_VERIFY_CLOCK_SHIFT_SECONDS", "0"))
_time, _time_ns = time.time, time.time_ns


class _Like(type):
    """Instances of the true class, which C code makes, count as instances of the shifted one."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls.__mro__[1])

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, cls.__mro__[1])


class _ShiftedDatetime(_datetime, metaclass=_Like):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return _datetime.now(tz) + datetime.timedelta(seconds=_SHIFT)

    @classmethod
    def utcnow(cls) -> Any:
        return _datetime.now(datetime.UTC).replace(tzinfo=None) + datetime.timedelta(seconds=_SHIFT)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


class _ShiftedDate(_date, metaclass=_Like):
    @classmethod
    def today(cls) -> Any:
        return (_datetime.now() + datetime.timedelta(seconds=_SHIFT)).date()


if _SHIFT:
    time.time = lambda: _time() + _SHIFT
    time.time_ns = lambda: _time_ns() + int(_SHIFT * 1e9)
    datetime.datetime, datetime.date = _ShiftedDatetime, _ShiftedDate  # type: ignore[misc]

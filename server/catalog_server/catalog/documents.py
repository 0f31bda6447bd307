"""Reading YAML that others wrote: bounded, and with its problems told in one way."""

import math
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from catalog_server.db.models import is_storable

# libyaml's loader is several times faster; both build plain values only.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

# Aliases may repeat a part many times over; without them no document has more values than bytes.
_EXPANSION_FACTOR = 10
_SMALLEST_ALLOWANCE = 1_000_000


class Unreadable(Exception):
    """The content as a whole can not be used; the message says where and why."""


def load_mapping(content: bytes) -> dict[Any, Any]:
    """The mapping that a YAML document holds. Raises `Unreadable`."""
    try:
        document = yaml.load(content.decode("utf-8-sig"), Loader=_Loader)  # noqa: S506  (a safe loader)
    except UnicodeDecodeError as error:
        raise Unreadable(f"byte {error.start} is not UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise Unreadable(f"not YAML: {place}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise Unreadable("not a mapping of names to values")
    _refuse_expansion(document, max(_SMALLEST_ALLOWANCE, _EXPANSION_FACTOR * len(content)))
    return document


def _refuse_expansion(document: Any, allowance: int) -> None:
    """A few hundred bytes of nested aliases can stand for gigabytes; count before anything is copied."""
    pending = [document]
    while pending:
        value = pending.pop()
        allowance -= 1 + (len(value) if isinstance(value, str) else 0)
        if allowance < 0:
            raise Unreadable("its aliases (*name) repeat too much, or contain themselves")
        if isinstance(value, dict):
            pending.extend(value.keys())
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)


def plain_json(value: Any) -> Any:
    """The value with nothing in it that JSON, or text in the database, can not hold. Raises `ValueError`."""
    if isinstance(value, dict):
        return {plain_text(key): plain_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a number that JSON has")
    if value is None or isinstance(value, bool | int | float):
        return value
    raise ValueError(f"{value} is a {type(value).__name__}, which JSON does not have; put it in quotes")


def plain_text(value: Any) -> str:
    """The text, if the database can hold it. Raises `ValueError`."""
    if not isinstance(value, str):
        raise ValueError(f"the name {value!r} is not text; put it in quotes")
    if not is_storable(value):
        raise ValueError(f"{shorten(ascii(value))} has a NUL or half a character, which can not be stored")
    return value


def without_nulls(entry: Mapping[Any, Any]) -> dict[Any, Any]:
    """A field written without a value counts as left out."""
    return {key: value for key, value in entry.items() if value is not None}


def unknown_fields(entry: Mapping[Any, Any], model: type[BaseModel]) -> list[str]:
    """Names in the entry that the model does not know."""
    known = {field.alias or name for name, field in model.model_fields.items()}
    return sorted(str(key) for key in entry if key not in known)


def explain(error: ValidationError) -> list[tuple[str, str, str]]:
    """Place within the entry, value and message, for every problem that pydantic found."""
    problems = []
    for detail in error.errors(include_url=False):
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in detail["loc"])
        value = "(missing)" if detail["type"] == "missing" else shorten(repr(detail["input"]))
        message = detail["msg"].removeprefix("Value error, ")
        problems.append((place.lstrip("."), value, message[:1].lower() + message[1:]))
    return problems


def shorten(text: str, length: int = 60) -> str:
    """The text, cut where it is too long for a message."""
    return text if len(text) <= length else f"{text[: length - 3]}..."

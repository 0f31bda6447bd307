"""Edits functions and SQL of the running program as one would edit their source."""

import ast
import inspect
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

Edit = tuple[str, str]  # the text that must be there exactly once, and what takes its place


class BugDoesNotApply(Exception):
    """The server does not read as the bug expects: mend the bug."""


def edit(function: Callable[..., Any], *edits: Edit) -> None:
    """Changes a function or method wherever it is used, also where it was imported by name before.

    The edits are made one after the other. `inspect` sees the text as it is in the file, so a function can be
    edited by one call only. Raises `BugDoesNotApply`.
    """
    plain = inspect.unwrap(function)
    assert isinstance(plain, FunctionType)
    source = textwrap.dedent(inspect.getsource(plain))
    for old, new in edits:
        source = replaced(source, old, new, where=f"{plain.__module__}.{plain.__qualname__}")
    tree = ast.parse(source)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef)
    definition.decorator_list = []  # they hold the function object, which stays
    namespace: dict[str, Any] = {}
    exec(compile(tree, f"<sabotaged {plain.__qualname__}>", "exec"), plain.__globals__, namespace)
    plain.__code__ = namespace[plain.__name__].__code__


def edit_constant(module: ModuleType, name: str, *edits: Edit) -> None:
    """Changes a text constant of a module, such as a statement. Raises `BugDoesNotApply`."""
    text = getattr(module, name, None)
    where = f"{module.__name__}.{name}"
    if not isinstance(text, str):
        raise BugDoesNotApply(f"{where} is not a text any more")
    for old, new in edits:
        text = replaced(text, old, new, where=where)
    setattr(module, name, text)


def replaced(text: str, old: str, new: str, *, where: str) -> str:
    """The text with an edit made. Raises `BugDoesNotApply`."""
    if text.count(old) != 1:
        raise BugDoesNotApply(f"{where} has {text.count(old)} times, not once: {old!r}")
    return text.replace(old, new)

"""The seeded bugs, one per module: what is broken, the scenario that finds it, and the claim that must fail."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Bug:
    """`name` is the module's, with hyphens. `scenario` and its `options` are those of `ha-verify run`."""

    name: str
    words: str
    claim: str
    scenario: str
    options: tuple[str, ...]
    apply: Callable[[], None]


def names() -> list[str]:
    """All bugs, in the order of their names."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Bug:
    """One bug by name; nothing is broken before its `apply` is called."""
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    words = (module.__doc__ or "").splitlines()[0]
    return Bug(name, words, module.CLAIM, module.SCENARIO, getattr(module, "OPTIONS", ()), module.apply)

"""The chart's scripts as modules, as they are beside each other in a pod."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from unit.helm.postgresql_ha.cluster import CHART

FOLDER = CHART / "files"


@contextmanager
def script(name: str) -> Iterator[ModuleType]:
    """One of them, imported anew; nothing of it is left afterwards."""
    names = {path.stem for path in FOLDER.rglob("*.py")}
    hidden = {each: sys.modules.pop(each) for each in names if each in sys.modules}
    (path,) = FOLDER.rglob(f"{name}.py")
    sys.path.insert(0, str(path.parent))
    try:
        yield importlib.import_module(name)
    finally:
        sys.path.remove(str(path.parent))
        for each in names:
            sys.modules.pop(each, None)
        sys.modules.update(hidden)

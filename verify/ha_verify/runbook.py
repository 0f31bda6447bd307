"""The commands of the runbook for disasters, as the page itself has them: the drill runs these and no others."""

import re
from collections.abc import Mapping
from pathlib import Path

RUNBOOK = Path(__file__).resolve().parents[2] / "docs" / "runbooks" / "disaster-recovery.md"
_BLOCK = re.compile(r"^```sh(?: drill=(?P<step>[a-z-]+))?\n(?P<script>.*?)^```$", re.MULTILINE | re.DOTALL)


class RunbookError(Exception):
    """The page can not be followed: the message names it, the step, and what is wrong."""


def steps(page: Path = RUNBOOK) -> Mapping[str, str]:
    """The script of each step, by its name, in the order of the page. Raises `RunbookError`.

    A step is a block of shell that says `drill=` and its name. A block without a name would be one that nobody tries,
    and is refused.
    """
    try:
        text = page.read_text(encoding="utf-8")
    except OSError as error:
        raise RunbookError(f"{page} can not be read: {error.strerror}") from error
    found: dict[str, str] = {}
    for block in _BLOCK.finditer(text):
        name, script = block["step"], block["script"]
        if name is None:
            raise RunbookError(f"{page}: the drill does not know when to run {script!r}: write sh drill=STEP above it")
        if name in found:
            raise RunbookError(f"{page}: there are two blocks for the step {name!r}: make them one")
        found[name] = script
    return found


def step(name: str, page: Path = RUNBOOK) -> str:
    """The script of this step. Raises `RunbookError` where the page has none."""
    found = steps(page)
    if name not in found:
        raise RunbookError(f"{page}: there is no block for the step {name!r}, only {', '.join(found)}")
    return found[name]

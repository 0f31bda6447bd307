"""Command-line tools that the target calls: found in the project's cache, or on the PATH."""

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ha_verify.targets.playbook import PROJECT
from ha_verify.targets.target import NotPossible

CACHE = PROJECT / ".cache" / "kubernetes" / "bin"
COMMAND_SECONDS = 60.0


def find(tool: str) -> Path:
    """Raises `NotPossible` where it is not installed."""
    cached = CACHE / tool
    if os.access(cached, os.X_OK):
        return cached
    found = shutil.which(tool)
    if found is None:
        raise NotPossible(f"{tool} is neither in {CACHE} nor on the PATH: install it, or run the playbook kind.yml")
    return Path(found)


def start(command: Sequence[str], *, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """A process that stays, whose output is one text to be read. Whoever starts it ends it."""
    return subprocess.Popen(  # noqa: S603 - a command of this project
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # Ctrl-C is for us: healing needs what it leads to
    )


async def run(
    *command: str,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    seconds: float = COMMAND_SECONDS,
) -> str:
    """What it prints. Raises `NotPossible` with what it said where it fails, or does not end within `seconds`."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if stdin is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(os.environ) | dict(environment or {}),
        start_new_session=True,  # Ctrl-C is for us, who end what is under way in good order
    )
    try:
        async with asyncio.timeout(seconds):
            out, error = await process.communicate(None if stdin is None else stdin.encode())
    except TimeoutError:
        raise NotPossible(f"{_words(command)} did not end within {seconds:g} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        said = (error or out).decode(errors="replace").strip()
        raise NotPossible(f"{_words(command)} failed with exit code {process.returncode}: {said}")
    return out.decode(errors="replace")


def _words(command: tuple[str, ...]) -> str:
    """Without the text of a script."""
    return " ".join(word if "\n" not in word else "..." for word in command)

"""Opens a page in a real headless Chromium, and tells what it wrote to its console."""

import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class OpenedPage:
    dom: str
    console: tuple[str, ...]


def find_chromium() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def open_page(chromium: str, page: Path, profile: Path, *, dark: bool = False) -> OpenedPage:
    """Loads the page without a network and lets its timers run for ten seconds of virtual time."""
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--blink-settings=preferredColorScheme={0 if dark else 1}"),
        *("--window-size=1280,20000", "--virtual-time-budget=10000", "--enable-logging=stderr", "--dump-dom"),
        page.as_uri(),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    try:
        dom, log = process.communicate(timeout=_TIMEOUT_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert process.returncode == 0, log.decode(errors="replace")
    console = re.findall(r":CONSOLE[^\]]*\] (.*)", log.decode(errors="replace"))
    return OpenedPage(dom.decode(), tuple(console))

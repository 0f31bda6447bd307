"""A bounded volume under PostgreSQL, so that its disk can be full without anybody else's being so."""

import errno
import os
import subprocess
from pathlib import Path

from ha_verify.targets.deployed import MARKER, Deployed
from ha_verify.targets.target import NotPossible

BOUNDED_MIB = 512  # enough for a run, and filled in a moment
UNBOUNDED = (
    "PostgreSQL's data lies on the disk of the whole machine, which is not filled: "
    f"as root, add -e database_volume_mib={BOUNDED_MIB}, which mounts a volume of that size"
)
BALLAST = "ballast"
CHUNK_BYTES = 1 << 20


class Volume:
    """The folder of PostgreSQL's data, mounted with a size where `mib` is given (needs root), and filled."""

    def __init__(self, deployed: Deployed, mib: int | None) -> None:
        self._deployed = deployed
        self._folder = deployed.postgresql_dir
        self._mib = mib

    def mount(self) -> None:
        """Before the first deployment. Nothing where no size is given, or where it is done. Raises `NotPossible`."""
        if self._mib is None or os.path.ismount(self._folder):
            return
        if os.geteuid() != 0:
            raise NotPossible("a bounded volume for PostgreSQL has to be mounted: run as root, or without one")
        if (self._folder / "data").exists():
            raise NotPossible(f"{self._folder} has data already: take the target down before giving it a volume")
        state_dir = self._deployed.state_dir
        self._folder.mkdir(parents=True, exist_ok=True)
        state_dir.chmod(0o711)
        # The playbook refuses a folder with unknown content; this one is what it makes itself.
        (state_dir / MARKER).write_text("Made by deploy.yml; destroy.yml deletes this folder.\n", encoding="utf-8")
        _run("mount", "-t", "tmpfs", "-o", f"size={self._mib}m,mode=0700", "ha-verify", str(self._folder))

    def unmount(self) -> None:
        if self._mib is not None and os.path.ismount(self._folder):
            _run("umount", str(self._folder))

    def fill(self) -> int:
        """Writes until nothing is free; returns how many bytes were. Raises `NotPossible` without a bounded volume."""
        if not os.path.ismount(self._folder):
            raise NotPossible(UNBOUNDED)
        written = 0
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    written += ballast.write(bytes(CHUNK_BYTES)) or 0
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return written

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self._folder / BALLAST


def _run(*command: str) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if result.returncode:
        raise NotPossible(f"{' '.join(command)} failed: {result.stderr.strip()}")

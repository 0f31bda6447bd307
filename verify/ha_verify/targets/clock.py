"""The wall clock of one replica, set wrong. See `clock_shift/sitecustomize.py` for how, and for what it can not."""

import re
from pathlib import Path

from ha_verify.targets.deployed import Deployed
from ha_verify.targets.supervisor import Supervisor

CODE = Path(__file__).parent / "clock_shift"
SECONDS = "HA_VERIFY_CLOCK_SHIFT_SECONDS"
_MARK = f'    PYTHONPATH="{CODE}",\n    {SECONDS}='


class Clock:
    """Adds two variables to the environment in the replica's program file, and takes them out again."""

    def __init__(self, deployed: Deployed, supervisor: Supervisor) -> None:
        self._deployed = deployed
        self._supervisor = supervisor

    def shift(self, replica: str, seconds: float) -> None:
        """Takes effect with a restart of the replica, which this does; 0 sets the clock right."""
        path = self._deployed.programs_dir / f"{replica}.conf"
        before = self._deployed.read("config", "programs", path.name) + "\n"
        after = re.sub(re.escape(_MARK) + '".*",\n', "", before)
        if seconds:
            after = after.replace("environment =\n", f'environment =\n{_MARK}"{seconds!r}",\n')
        if after != before:
            path.write_text(after, encoding="utf-8")
            self._supervisor.replace(replica)

    def set_right(self) -> None:
        """Restarts the replicas whose clock was wrong, and no others."""
        for replica in self._deployed.replica_names():
            if SECONDS in self._deployed.read("config", "programs", f"{replica}.conf"):
                self.shift(replica, 0)

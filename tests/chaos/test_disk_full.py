"""A full disk under the database, on a volume that only root can mount."""

import os
from pathlib import Path

import pytest

from chaos.short_runs import ShortRuns

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="the volume that is filled is mounted by root: run as root"),
]


def test_what_was_acknowledged_is_there_when_there_is_room_again(bounded_runs: ShortRuns, tmp_path: Path) -> None:
    verdict = bounded_runs.run("disk-full", report=tmp_path / "report", keep=False)
    amiss = [claim for claim in verdict.document["claims"] if claim["result"] != "PASS"]
    assert (verdict.code, verdict.document["result"]) == (0, "PASS"), (amiss, verdict.document["untried"])

"""`python verify.py SABOTAGE ...` is `ha-verify ...` with the playbooks of a sabotaged deployment."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a file: make the tests' packages known
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from chaos.sabotage.deployments import BY_NAME, edited_playbooks
from ha_verify.cli import main
from ha_verify.targets import playbook


def verify(arguments: Sequence[str]) -> None:
    """Exits with 2 for an unknown sabotage."""
    if not arguments or arguments[0] not in BY_NAME:
        sys.exit(f"usage: verify.py SABOTAGE run ...\n{arguments[:1]} is not one of: {', '.join(BY_NAME)}")
    name, *rest = arguments
    with tempfile.TemporaryDirectory(prefix="catalog-sabotage-") as folder:
        playbook.PLAYBOOKS = edited_playbooks(BY_NAME[name], Path(folder))
        main(rest, prog_name="ha-verify")


if __name__ == "__main__":
    verify(sys.argv[1:])

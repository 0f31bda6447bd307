"""`python serve.py BUG ...` is `catalog-server ...` (by default `serve`) with one seeded bug."""

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

if __name__ == "__main__":  # run as a file: make the tests' packages known
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from catalog_server.cli import main
from chaos.sabotage import bugs


def serve(arguments: Sequence[str]) -> None:
    """Exits with 2 for an unknown bug."""
    if not arguments or arguments[0] not in bugs.names():
        sys.exit(f"usage: serve.py BUG [serve]\n{arguments[:1]} is not one of: {', '.join(bugs.names())}")
    bug, *rest = arguments
    importlib.import_module("catalog_server.app")  # everything that a bug may edit is loaded
    bugs.load(bug).apply()
    print(f'{{"level": "warning", "logger": "sabotage", "message": "this server has the bug {bug}"}}', flush=True)
    main(rest or ["serve"], prog_name="catalog-server")


if __name__ == "__main__":
    serve(sys.argv[1:])

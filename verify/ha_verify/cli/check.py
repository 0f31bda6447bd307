"""`ha-verify check`: judge what was recorded, again."""

from collections.abc import Sequence
from pathlib import Path

import click

from ha_verify.cli.conclusion import conclude


@click.command()
@click.argument("histories", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="HISTORY...")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.option(
    "--report", "directory", type=click.Path(path_type=Path, file_okay=False), help="Write verdict.json and index.html."
)
@click.pass_context
def check(context: click.Context, histories: Sequence[Path], as_json: bool, directory: Path | None) -> None:
    """Judge recorded histories, without the deployment they were recorded on.

    The exit code is the verdict's: 0 PASS, 1 FAIL, 3 INCONCLUSIVE; 2 where a file is not a history.
    """
    conclude(context, histories, directory, as_json=as_json)

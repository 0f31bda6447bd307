"""The command line: `ha-verify run`, `list`, `check`.

Exit codes: 0 PASS, 1 FAIL, 2 wrong usage, 3 INCONCLUSIVE (a claim was not tried, or a fault did not take effect).
"""

import click

from ha_verify import __version__
from ha_verify.cli.check import check
from ha_verify.cli.list import list_scenarios
from ha_verify.cli.run import run


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="ha-verify")
def main() -> None:
    """Show whether a deployment survives: break it, record what happens, judge what was recorded."""


for command in (run, check, list_scenarios):
    main.add_command(command)

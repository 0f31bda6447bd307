"""The command line. It decides nothing: every command calls the room that does.

Exit codes: 0 done, 1 refused or failed with a message on standard error, 2 wrong usage.
"""

import click

from catalog_server import __version__
from catalog_server.cli.config import config
from catalog_server.cli.db import db
from catalog_server.cli.jobs import jobs
from catalog_server.cli.leader import leader
from catalog_server.cli.serve import serve
from catalog_server.cli.sources import sources
from catalog_server.cli.token import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """A minimal catalog server that is safe to run as several replicas.

    Settings come from CATALOG_* variables and the YAML file named by CATALOG_CONFIG_FILE.
    """


for command in (serve, db, config, jobs, leader, sources, token):
    main.add_command(command)

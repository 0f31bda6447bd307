"""catalog-server leader"""

import json

import click

from catalog_server.cli.session import database_session
from catalog_server.leadership import read_leader


@click.group()
def leader() -> None:
    """Look at leadership."""


@leader.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(as_json: bool) -> None:
    """Print who leads, under which epoch and since when; exit 1 if nobody does."""
    with database_session() as (session, settings):
        current = read_leader(session, settings.leadership_lease_name)
    if as_json:
        document = {"holder": current.holder, "epoch": current.epoch, "since": current.since} if current else None
        click.echo(json.dumps({"leader": document}, indent=2, default=str))
    elif current:
        click.echo(f"{current.holder} leads under epoch {current.epoch} since {current.since:%Y-%m-%d %H:%M:%S %Z}")
    else:
        click.echo("Nobody leads. A replica takes over within the lease duration if one is ready.", err=True)
    if current is None:
        raise SystemExit(1)

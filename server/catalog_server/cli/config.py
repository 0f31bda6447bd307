"""catalog-server config"""

import json

import click

from catalog_server.config import InvalidConfiguration, load_settings


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(as_json: bool) -> None:
    """Validate the configuration; exit 1 and name every problem if it is invalid."""
    try:
        settings = load_settings()
    except InvalidConfiguration as error:
        if as_json:
            problems = [vars(problem) for problem in error.problems]
            click.echo(json.dumps({"valid": False, "problems": problems}, indent=2))
        else:
            for problem in error.problems:
                click.echo(str(problem), err=True)
        raise SystemExit(1) from None
    if as_json:
        click.echo(json.dumps({"valid": True, "settings": settings.model_dump(mode="json")}, indent=2))
    else:
        click.echo("The configuration is valid.")

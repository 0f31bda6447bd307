"""catalog-server db"""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

import click
from tabulate import tabulate

from catalog_server.config import InvalidConfiguration, Settings, load_settings
from catalog_server.db import DatabaseUnavailable
from catalog_server.migrations import MigrationError, Runner, SchemaStatus

T = TypeVar("T")


@click.group()
def db() -> None:
    """Look at the schema of the database, and change it."""


def _with_settings(command: Callable[..., T]) -> Callable[..., T]:
    """Hands the command valid settings; a refusal becomes one message and exit code 1."""

    @wraps(command)
    def wrapped(*args: Any, **options: Any) -> T:
        try:
            return command(load_settings(), *args, **options)
        except (InvalidConfiguration, MigrationError, DatabaseUnavailable) as error:
            raise click.ClickException(str(error)) from None

    return wrapped


def _runner(settings: Settings, *, quiet: bool = False) -> Runner:
    return Runner(
        settings.direct_dsn,
        wait_seconds=settings.migrations_wait_seconds,
        connect_timeout_seconds=settings.database_connect_timeout_seconds,
        identity=f"{settings.replica_name}/cli",
        progress=lambda message: click.echo(message, err=quiet),
    )


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_with_settings
def status(settings: Settings, as_json: bool) -> None:
    """Print which versions are applied and pending, and who migrates. Changes nothing."""
    schema = _runner(settings).status()
    if as_json:
        click.echo(json.dumps(_as_data(schema), indent=2))
        return
    rows = [(str(row), "applied", f"{row.applied_at:%Y-%m-%d %H:%M:%S %Z}", row.applied_by) for row in schema.applied]
    rows += [(str(version), "pending", "", "") for version in schema.pending]
    click.echo(tabulate(rows, headers=["version", "state", "applied at", "applied by"]))
    click.echo(f"\nSchema {schema.current:04d}, this server knows {schema.head:04d}.")
    if schema.problem is not None:
        click.echo(schema.explanation)


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_with_settings
def upgrade(settings: Settings, as_json: bool) -> None:
    """Apply every pending version, under the lock, telling each with its duration."""
    versions = _runner(settings, quiet=as_json).upgrade()
    _report("applied", [str(version) for version in versions], as_json)


@db.command(context_settings={"ignore_unknown_options": True})  # so that -1 is a target, not an option
@click.argument("target", type=int)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_with_settings
def downgrade(settings: Settings, target: int, as_json: bool) -> None:
    """Take versions back: to version TARGET, or -1 for one version back, -2 for two.

    Refused while a running replica needs what would be taken away. Data that only the newer schema has a
    place for is lost: back up first.
    """
    runner = _runner(settings, quiet=as_json)
    if target < 0:
        target += runner.status().current
    versions = runner.downgrade(target, replica_timeout_seconds=settings.replica_timeout_seconds)
    _report("taken_back", [str(version) for version in versions], as_json)


@db.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@_with_settings
def check(settings: Settings, as_json: bool) -> None:
    """Exit 0 if this server can run on the schema and could migrate it, else 1 with the reason and remedy."""
    problem: MigrationError | None = None
    try:
        runner = _runner(settings)
        runner.check_address()
        runner.check()
    except MigrationError as error:
        problem = error
    if as_json:
        about = {"problem": problem.problem, "remedy": problem.remedy} if problem else {}
        click.echo(json.dumps({"ok": problem is None} | about, indent=2))
    elif problem is None:
        click.echo("The schema is current, and migrations can be applied through this address.")
    if problem is not None:
        raise SystemExit(1) if as_json else problem


def _report(what: str, versions: list[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({what: versions}, indent=2))
    elif not versions:
        click.echo("Nothing to do.")


def _as_data(schema: SchemaStatus) -> dict[str, Any]:
    return {
        "current": schema.current,
        "head": schema.head,
        "applied": [
            vars(row) | {"applied_at": row.applied_at.isoformat() if row.applied_at else None} for row in schema.applied
        ],
        "pending": [str(version) for version in schema.pending],
        "newer": [str(row) for row in schema.newer],
        "compatible": schema.compatible,
        "problem": schema.problem.problem if schema.problem else None,
        "remedy": schema.problem.remedy if schema.problem else None,
        "lock_holder": str(schema.lock_holder) if schema.lock_holder else None,
    }

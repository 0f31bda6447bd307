"""A database session for one command, with refusals turned into messages."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
import peewee

from catalog_server.config import InvalidConfiguration, Settings, load_settings
from catalog_server.db import Database, DatabaseUnavailable, Session


@contextmanager
def database_session() -> Iterator[tuple[Session, Settings]]:
    """The configured database and the settings; each statement commits by itself.

    Raises `click.ClickException` (exit code 1) with the remedy for an invalid configuration, an unreachable
    database, or one without a schema.
    """
    try:
        settings = load_settings()
        database = Database(
            settings.database_dsn.get_secret_value(),
            purpose="command-line",
            size=1,
            deadline_seconds=settings.database_deadline_seconds,
            connect_timeout_seconds=settings.database_connect_timeout_seconds,
        )
        try:
            with database.session() as session:
                yield session, settings
        finally:
            database.close_this_thread()
    except InvalidConfiguration as error:
        raise click.ClickException(str(error)) from None
    except DatabaseUnavailable as error:
        raise click.ClickException(f"the database can not be used: {error}. Check database_dsn.") from None
    except (peewee.ProgrammingError, peewee.OperationalError) as error:
        reason = str(error).splitlines()[0]
        raise click.ClickException(f"{reason}. Is the schema current? See: catalog-server db status") from None

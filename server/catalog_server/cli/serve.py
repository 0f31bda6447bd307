"""catalog-server serve"""

import asyncio
import socket

import click

from catalog_server.config import InvalidConfiguration, load_settings
from catalog_server.observability.logs import configure_logging


@click.command()
def serve() -> None:
    """Run one replica until SIGTERM. SIGHUP reads the configuration again.

    With an invalid configuration the process starts, answers /healthz, and says in /readyz what to mend.
    """
    try:
        settings = load_settings()
        configure_logging(settings.replica_name, settings.log_level)
    except InvalidConfiguration:
        configure_logging(socket.gethostname(), "info")  # the server says what is wrong with it
    # Imported here: the other commands need none of it, and start much faster without.
    from catalog_server.app import CannotListen, Server

    async def run() -> None:
        await Server().run()

    try:
        asyncio.run(run())
    except CannotListen as error:
        raise click.ClickException(str(error)) from None

"""catalog-server token"""

import time

import click
import jwt

from catalog_server.config import InvalidConfiguration, load_settings


@click.command()
@click.option("--subject", default="operator", show_default=True, help="Whom the token is for.")
@click.option("--hours", default=12.0, show_default=True, type=click.FloatRange(min=0, min_open=True, max=8760))
def token(subject: str, hours: float) -> None:
    """Print a bearer token for writes, signed with auth_secret; it is valid on every replica."""
    try:
        settings = load_settings()
    except InvalidConfiguration as error:
        raise click.ClickException(str(error)) from None
    if settings.auth_secret is None:
        raise click.ClickException("auth_secret is not set, so writes need no token. Set CATALOG_AUTH_SECRET_FILE.")
    now = int(time.time())
    claims = {"sub": subject, "iat": now, "exp": now + int(hours * 3600)}
    click.echo(jwt.encode(claims, settings.auth_secret.get_secret_value(), algorithm="HS256"))

"""`python -m load SHAPE`: runs Locust without its web page, keeps what it wrote, and exits with the verdict."""

import ipaddress
import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import click

from load.objectives import DEFAULT_FILE, BadObjectives, read_objectives
from load.shapes import SECONDS, SHAPES

LOCUSTFILE = Path(__file__).with_name("locustfile.py")
RESULTS = Path(__file__).with_name("results")


def _checked_host(host: str) -> str:
    """Raises `click.BadParameter` for what is not loopback, unless LOAD_ALLOWED_HOST names it."""
    name = urlsplit(host).hostname
    if not name or urlsplit(host).scheme not in ("http", "https"):
        raise click.BadParameter(f"{host!r} is not an address as http://127.0.0.1:8080", param_hint="--host")
    try:
        is_loopback = ipaddress.ip_address(name).is_loopback
    except ValueError:
        is_loopback = name == "localhost"
    if not is_loopback and os.environ.get("LOAD_ALLOWED_HOST") != name:
        raise click.BadParameter(
            f"{name} is not this machine. If it is yours to load, set LOAD_ALLOWED_HOST={name}", param_hint="--host"
        )
    return host.rstrip("/")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("shape", type=click.Choice(list(SHAPES)))
@click.option("--host", default="http://127.0.0.1:8080", show_default=True, help="The load balancer.")
@click.option("--seconds", type=click.FloatRange(5, 7200), help="How long; by default what the shape is made for.")
@click.option(
    "--objectives", type=click.Path(path_type=Path), default=DEFAULT_FILE, help="Service-level objectives, YAML."
)
@click.option("--results", type=click.Path(path_type=Path, file_okay=False), help="Where CSV and HTML are kept.")
def main(shape: str, host: str, seconds: float | None, objectives: Path, results: Path | None) -> None:
    """Load the catalog API with SHAPE and hold it against its objectives; exit 1 if one is missed.

    Refreshes need a bearer token, from the environment: CATALOG_TOKEN.
    """
    host = _checked_host(host)
    try:
        read_objectives(objectives, shape)
    except BadObjectives as error:
        raise click.BadParameter(str(error), param_hint="--objectives") from error
    results = results or RESULTS / f"{shape}-{time.strftime('%Y%m%d-%H%M%S')}"
    results.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "LOAD_SHAPE": shape,
        "LOAD_SECONDS": str(seconds or SECONDS[shape]),
        "LOAD_OBJECTIVES": str(objectives.absolute()),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    command = [sys.executable, "-m", "locust", "--locustfile", str(LOCUSTFILE), "--headless", "--only-summary"]
    command += ["--stop-timeout", "30"]  # what is under way at the end is answered, and counted
    command += ["--host", host, "--csv", str(results / "load"), "--html", str(results / "load.html")]
    code = subprocess.run(command, env=environment, check=False).returncode
    click.echo(f"CSV and HTML: {results}")
    raise SystemExit(code)


if __name__ == "__main__":
    main()

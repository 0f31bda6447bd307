"""catalog-server config"""

import json
from dataclasses import asdict

import click
from pydantic.fields import FieldInfo

from catalog_server.catalog.sources_file import SourcesFileError, parse_sources
from catalog_server.config import (
    CONFIG_FILE_VARIABLE,
    FIXED_FIELDS,
    SECRET_FIELDS,
    InvalidConfiguration,
    Problem,
    Settings,
    load_settings,
)


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(as_json: bool) -> None:
    """Validate the configuration and the sources file; exit 1 and name every problem if one is invalid."""
    try:
        settings = load_settings()
        problems = _sources_problems(settings)
    except InvalidConfiguration as error:
        problems = error.problems
    if as_json:
        shown = {"settings": settings.model_dump(mode="json")} if not problems else {}
        document = {"valid": not problems, "problems": [asdict(problem) for problem in problems]} | shown
        click.echo(json.dumps(document, indent=2))
    elif not problems:
        click.echo("The configuration is valid.")
    else:
        for problem in problems:
            click.echo(str(problem), err=True)
    if problems:
        raise SystemExit(1)


def _sources_problems(settings: Settings) -> list[Problem]:
    """A running server only logs these and keeps the sources it has; before a start they are worth stopping for."""
    path = settings.sources_file
    if path is None:
        return []
    try:
        parse_sources(path.read_bytes(), path=path, default_refresh_interval_seconds=settings.refresh_interval_seconds)
    except OSError as error:
        return [Problem("sources_file", str(path), f"cannot be read ({error.strerror})", "Name a readable file")]
    except SourcesFileError as error:
        return [Problem("sources_file", str(path), problem, "Then check again") for problem in error.problems]
    return []


@config.command()
def reference() -> None:
    """Print every setting with its type, default and meaning, as Markdown (docs/configuration.md)."""
    click.echo(reference_markdown(), nl=False)


def reference_markdown() -> str:
    """The text of docs/configuration.md; a test holds the two together."""
    lines = [
        "# Configuration",
        "",
        "Written by `catalog-server config reference`; do not edit by hand.",
        "",
        "Every setting is an environment variable `CATALOG_<NAME>` or a line `name: value` in the YAML file that",
        f"`{CONFIG_FILE_VARIABLE}` names; the environment wins. Secrets can be read from a file instead:",
        ", ".join(f"`CATALOG_{name.upper()}_FILE`" for name in SECRET_FIELDS) + ".",
        "",
        "`catalog-server config check` validates the settings. SIGHUP makes a running server read them again;",
        f"{', '.join(f'`{name}`' for name in FIXED_FIELDS)} need a restart.",
        "",
        "| Setting | Type | Default | Meaning |",
        "|---|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        lines.append(f"| `{name}` | {_type_name(name)} | {_default(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _type_name(name: str) -> str:
    schema = Settings.model_json_schema()["properties"][name]
    choices = [choice for choice in schema.get("anyOf", [schema]) if choice.get("type") != "null"]
    choice = choices[0]
    if "enum" in choice:
        return ", ".join(f"`{value}`" for value in choice["enum"])
    if choice.get("format") in ("password", "path"):
        return "secret" if choice["format"] == "password" else "path"
    bounds = [f"≥ {choice['minimum']:g}"] if "minimum" in choice else []
    bounds += [f"> {choice['exclusiveMinimum']:g}"] if "exclusiveMinimum" in choice else []
    bounds += [f"≤ {choice['maximum']}"] if "maximum" in choice else []
    return " ".join([choice["type"], *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default_factory is not None:
        return "the host's name"
    return "none" if field.default is None else f"`{field.default}`"

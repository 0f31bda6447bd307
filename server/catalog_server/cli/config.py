"""catalog-server config"""

import json

import click
from pydantic.fields import FieldInfo

from catalog_server.config import (
    CONFIG_FILE_VARIABLE,
    FIXED_FIELDS,
    SECRET_FIELDS,
    InvalidConfiguration,
    Settings,
    load_settings,
)


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

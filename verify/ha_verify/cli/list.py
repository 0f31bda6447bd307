"""`ha-verify list`: what can be run, in a line each or as pages of the documentation."""

import inspect
from collections.abc import Sequence
from pathlib import Path

import click

from ha_verify.claims import CLAIMS
from ha_verify.scenarios import ACCEPTANCE, BY_NAME, DRILL, OF_DISASTERS, OF_MEMBERS, SCENARIOS, Scenario


@click.command("list")
@click.option(
    "--markdown",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write a page per scenario into this directory instead.",
)
def list_scenarios(directory: Path | None) -> None:
    """Print the scenarios, those of `all` marked with *."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in pages().items():
            (directory / name).write_text(text, encoding="utf-8")
        click.echo(f"wrote {len(pages())} pages into {directory}")
        return
    width = max(map(len, SCENARIOS))
    for name, scenario in SCENARIOS.items():
        mark = "*" if name in ACCEPTANCE else " "
        click.echo(f"{mark} {name:{width}}  {_words(scenario)[0]}")


def pages() -> dict[str, str]:
    """The documentation of the scenarios: file names and texts, from the docstrings and the claims."""
    return {f"{name}.md": _page(scenario) for name, scenario in SCENARIOS.items()} | {"README.md": _contents()}


def _contents() -> str:
    lines = [f"* [{name}]({name}.md): {_words(scenario)[0]}" for name, scenario in SCENARIOS.items()]
    last = (
        f"`ha-verify run all` runs all but {_names(BY_NAME)} and those that need a database of several members: "
        f"{_names(OF_MEMBERS)}. "
        f"Those of disasters need backups as well; `ha-verify run {DRILL}` runs them: {_names(OF_DISASTERS)}."
    )
    return "# Scenarios\n\n" + "\n".join(lines) + f"\n\n{last}\n"


def _names(scenarios: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in scenarios)


def _page(scenario: Scenario) -> str:
    claims = "\n".join(f"* {CLAIMS[key].words} (`{key}`)" for key in scenario.claims)
    text = "\n".join([f"# {scenario.name}", "", inspect.getdoc(scenario) or ""])
    return f"{text}\n\n## Claims\n\n{claims}\n\n## Run it\n\n```\nha-verify run {scenario.name}\n```\n"


def _words(scenario: Scenario) -> list[str]:
    return (inspect.getdoc(scenario) or "").splitlines()

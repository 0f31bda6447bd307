"""Puts the page together: template, style, script, Plotly itself, and the data."""

import json
import secrets
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from ha_verify.history import History
from ha_verify.report.evidence import excerpts
from ha_verify.report.failovers import CHANGES, Trials, trials_of
from ha_verify.report.figures import trials_figure
from ha_verify.report.judged import all_places, claim_row
from ha_verify.report.run import run_section
from ha_verify.verdict import Verdict

SYMBOLS = {"PASS": "✓", "FAIL": "✗", "INCONCLUSIVE": "?"}
_OPEN_RUNS = 3  # the others are folded, and drawn when they are opened


def write_report(verdict: Verdict, histories: Mapping[str, History], directory: Path) -> Path:
    """Writes `index.html` and returns its path.

    The keys of `histories` are the files' paths relative to `directory`, as the verdict's evidence names them.
    Raises `OSError` where the directory can not be written to.
    """
    trials = [trials_of(change, verdict, histories) for change in CHANGES]
    found = excerpts(histories, all_places(verdict.claims))
    commands = [history.run["command"] for history in histories.values() if history.run.get("command")]
    page = (
        _environment()
        .from_string(_asset("page.html"))
        .render(
            nonce=secrets.token_urlsafe(16),
            verdict=verdict,
            symbols=SYMBOLS,
            summary=_summary(verdict, len(histories)),
            claims=[claim_row(claim, found) for claim in verdict.claims],
            trials=[_trials(each) for each in trials if each.each],
            runs=[run_section(number, name, history) for number, (name, history) in enumerate(histories.items(), 1)],
            open_runs=_OPEN_RUNS,
            excerpts=list(found.values()),
            commands=list(dict.fromkeys(map(str, commands))),
            css=Markup(_asset("page.css")),  # noqa: S704 - files of this package
            page_js=Markup(_asset("page.js")),  # noqa: S704
            plotly_js=Markup(get_plotlyjs()),  # noqa: S704
        )
    )
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def embedded(value: Any) -> Markup:
    """JSON inside of a script element, which "</script>" or "<!--" within a string would end or confuse."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    environment.filters["embedded"] = embedded
    environment.filters["shell"] = shlex.quote
    return environment


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _summary(verdict: Verdict, runs: int) -> str:
    counts = {result: sum(claim.result == result for claim in verdict.claims) for result in SYMBOLS}
    told = ", ".join(f"{count} {result.lower()}" for result, count in counts.items() if count)
    return f"{len(verdict.claims)} claims over {runs} {'run' if runs == 1 else 'runs'}: {told}"


def _trials(trials: Trials) -> dict[str, Any]:
    rows = []
    for kind in trials.kinds():
        quantities = [trial.quantity for trial in trials.each if trial.kind == kind]
        figures = [min(quantities), median(quantities), max(quantities)]
        bound = trials.bounds.get(kind)
        told = [str(len(quantities)), *(f"{figure:.2f}" for figure in figures), "—" if bound is None else f"{bound:g}"]
        rows.append({"kind": kind, "figures": told})
    change = trials.change
    about = f"{change.words}; every trial is a dot" + (
        ", the dashed line is the bound for its kind of fault." if trials.bounds else "."
    )
    return {
        "id": change.id,
        "title": change.title,
        "about": about,
        "unit": change.unit,
        "figure": trials_figure(f"{change.id}-plot", trials),
        "rows": rows,
    }

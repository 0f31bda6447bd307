"""The end of a run or a check: the verdict as a table or as JSON, the report, and the exit code."""

import json
from collections.abc import Sequence
from pathlib import Path

import click
from tabulate import tabulate

from ha_verify.history import HistoryError, read_history
from ha_verify.report import write_report
from ha_verify.verdict import Judged, Verdict, judge

VIOLATIONS_SHOWN = 5
VERDICT_FILE = "verdict.json"


def conclude(context: click.Context, paths: Sequence[Path], directory: Path | None, *, as_json: bool) -> None:
    """Judges the histories, reports in the directory if there is one, and exits with the verdict's code."""
    try:
        histories = {_name(path, directory): read_history(path) for path in paths}
    except HistoryError as error:
        raise click.UsageError(str(error)) from error
    verdict = judge(histories)
    document = json.dumps(verdict.to_json(), indent=2)
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / VERDICT_FILE).write_text(document + "\n", encoding="utf-8")
        write_report(verdict, histories, directory)
    click.echo(document if as_json else _table(verdict, directory))
    context.exit(verdict.exit_code)


def _name(path: Path, directory: Path | None) -> str:
    """As the report's links name it: relative to the report where it lies there."""
    if directory is not None and path.resolve().is_relative_to(directory.resolve()):
        return str(path.resolve().relative_to(directory.resolve()))
    return str(path)


def _table(verdict: Verdict, directory: Path | None) -> str:
    headers = ["claim", "result", "trials", "violations", "at most, 95 %", "measured", "bound"]
    rows = [_row(claim) for claim in verdict.claims]
    lines = [tabulate(rows, headers, colalign=("left", "left", *["right"] * 5), disable_numparse=True), ""]
    for claim in verdict.claims:
        for violation in claim.violations[:VIOLATIONS_SHOWN]:
            places = ", ".join(f"{place.history}:{place.line}" for place in violation.evidence[:3])
            lines.append(f"{claim.key}: {violation.message}" + (f" ({places})" if places else ""))
        if len(claim.violations) > VIOLATIONS_SHOWN:
            lines.append(f"{claim.key}: {len(claim.violations) - VIOLATIONS_SHOWN} more violations")
    lines += [f"not tried: {message}" for message in verdict.untried]
    if directory is not None:
        lines.append(f"Report: {directory / 'index.html'}")
    return "\n".join([*lines, f"Verdict: {verdict.result}"])


def _row(claim: Judged) -> list[str]:
    rate = claim.rate_upper_bound
    return [
        claim.words,
        claim.result,
        str(claim.trials),
        str(len(claim.violations)),
        "" if rate is None else f"{rate:.2%}",
        "" if claim.measured is None else f"{claim.measured:.2f} {claim.unit}",
        "" if claim.bound is None else f"{claim.bound:g} {claim.unit}",
    ]

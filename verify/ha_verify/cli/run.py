"""`ha-verify run`: do, then judge, then report."""

import asyncio
import random
import signal
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import yaml
from rich.console import Console

from ha_verify.cli.conclusion import conclude
from ha_verify.scenarios import Options, Scenario, UnknownScenario, chosen
from ha_verify.scenarios.display import ConsoleDisplay
from ha_verify.scenarios.session import Session, lacking, needs, plan
from ha_verify.scenarios.settle import NotInTime
from ha_verify.targets import Need, NotPossible, Target, kind
from ha_verify.targets.local import BACKED_UP, REPLICATED, STATE_DIR, LocalTarget
from ha_verify.targets.playbook import PlaybookFailed
from ha_verify.targets.volume import BOUNDED_MIB
from ha_verify.verdict import EXIT_CODES

TARGETS = ("local", "kind")
_THREADS = 32  # a paused database holds the threads that ask it; the others must go on
_OF_A_REPORT = ("index.html", "verdict.json", "history-*.jsonl")


class NothingProven(click.ClickException):
    """The run ended before there was a verdict, which is neither PASS nor FAIL."""

    exit_code = EXIT_CODES["INCONCLUSIVE"]


def make_room(directory: Path) -> None:
    """Leaves an empty directory: an earlier report is deleted, anything else is refused (`click.BadParameter`)."""
    if directory.exists() and not directory.is_dir():
        raise click.BadParameter(f"{directory} is a file: name a directory", param_hint="--report")
    if directory.is_dir():
        ours = {path for pattern in _OF_A_REPORT for path in directory.glob(pattern)}
        others = sorted(path.name for path in directory.iterdir() if path not in ours)
        if others:
            raise click.BadParameter(
                f"{directory} holds what is not of a report ({others[0]}): name an empty or a new directory",
                param_hint="--report",
            )
        for path in ours:
            path.unlink()
    directory.mkdir(parents=True, exist_ok=True)


def make_target(name: str, variables: Sequence[str], needs: Collection[Need] = ()) -> Target:
    """One that has what is needed, where variables decide that and say nothing else.

    Raises `click.BadParameter` for an unknown target, or a variable that is not key=value.
    """
    if name not in TARGETS:
        raise click.BadParameter(
            f"there is no target {name!r}; choose from: {', '.join(TARGETS)}", param_hint="--target"
        )
    values = dict(_variable(text) for text in variables)
    if name == "kind":
        if "database members" in needs:
            values = {**kind.REPLICATED, **values}
        return kind.KindTarget(Path(values.pop("state_dir", kind.STATE_DIR)).absolute(), values)
    state_dir = Path(values.pop("state_dir", STATE_DIR)).absolute()
    volume_mib = values.pop("database_volume_mib", BOUNDED_MIB if "disk" in needs else None)
    if "database members" in needs:
        values = {**REPLICATED, **values}
    if "backups" in needs:
        values = {**BACKED_UP, **values}
    return LocalTarget(state_dir, values, database_volume_mib=volume_mib)


def _variable(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise click.BadParameter(f"{text!r} is not key=value, as in -e http_port=19080", param_hint="-e")
    try:
        return key, yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise click.BadParameter(f"the value of {key} is not YAML: {error}", param_hint="-e") from error


@click.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--target", "target_name", default="local", show_default=True, help=f"One of: {', '.join(TARGETS)}.")
@click.option(
    "--trials", type=click.IntRange(1), default=1, show_default=True, help="How often each fault is injected."
)
@click.option("--seed", type=int, default=None, help="Of waits and choices; a random one is printed by default.")
@click.option(
    "--report",
    "directory",
    type=click.Path(path_type=Path),
    default=Path("report"),
    show_default=True,
    help="Where the histories, verdict.json and index.html go; an earlier report there is replaced.",
)
@click.option("--short", is_flag=True, help="Fewer faults: to try the suite rather than the deployment.")
@click.option("--seconds", type=click.FloatRange(10), default=1800, show_default=True, help="How long a soak lasts.")
@click.option("--keep", is_flag=True, help="Leave the deployment up afterwards.")
@click.option("-e", "variables", multiple=True, metavar="KEY=VALUE", help="A variable of the target's playbooks.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
@click.pass_context
def run(
    context: click.Context,
    names: Sequence[str],
    target_name: str,
    trials: int,
    seed: int | None,
    directory: Path,
    short: bool,
    seconds: float,
    keep: bool,
    variables: Sequence[str],
    as_json: bool,
) -> None:
    """Run scenarios (`all`: the acceptance set, `dr-drill`: disasters) against a target, and judge what they recorded.

    The exit code is the verdict's: see `ha-verify check`.
    """
    try:
        scenarios = chosen(names)
    except UnknownScenario as error:
        raise click.BadParameter(str(error), param_hint="NAME") from error
    target = make_target(target_name, variables, needs(scenarios))
    make_room(directory)
    if seed is None:
        seed = random.SystemRandom().randrange(1_000_000)
    console = Console(stderr=True)
    console.print(f"seed {seed}; the same seed gives the same schedule", highlight=False)
    asked = _Asked(scenarios, trials, short, seconds, seed, directory, keep)
    try:
        paths = asyncio.run(_do(target, asked, console))
    except (NotPossible, NotInTime, PlaybookFailed) as error:
        raise NothingProven(f"target {target_name}: {error}") from error
    except asyncio.CancelledError as error:
        raise NothingProven("stopped at once: what was recorded can be judged by ha-verify check") from error
    if not paths:
        raise NothingProven("interrupted before anything was recorded")
    conclude(context, paths, directory, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Asked:
    scenarios: Sequence[Scenario]
    trials: int
    short: bool
    soak_seconds: float
    seed: int
    directory: Path
    keep: bool


async def _do(target: Target, asked: _Asked, console: Console) -> list[Path]:
    """Deploys, runs what was asked for, and returns the histories. Everything is healed, whatever happens."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(_THREADS))
    interrupted = asyncio.Event()
    _heal_when_interrupted(interrupted, console)
    _tell_what_is_left_out(target, asked, console)
    console.print("deploying", highlight=False)
    await target.up()
    options = Options(target.timing, asked.trials, asked.short, asked.soak_seconds, tuple(target.lacks))
    planned = plan(asked.scenarios, options, asked.seed)
    try:
        with ConsoleDisplay(console, len(planned)) as display:
            session = Session(target, asked.directory, display, seed=asked.seed, interrupted=interrupted)
            return await session.run(planned)
    finally:
        try:
            await target.heal()
        except (NotPossible, PlaybookFailed) as error:  # of what was recorded there is a verdict all the same
            console.print(f"not healed: {error}", style="yellow", highlight=False)
        if not asked.keep:
            console.print("taking the deployment down", highlight=False)
            await target.down()


def _tell_what_is_left_out(target: Target, asked: _Asked, console: Console) -> None:
    """Before anything is deployed. Raises `NotPossible` where nothing would be left."""
    options = Options(target.timing, lacks=tuple(target.lacks))
    planned = plan(asked.scenarios, options, asked.seed)
    done = {each.scenario.name for each in planned}
    missing: dict[Need, str] = {}
    for scenario in asked.scenarios:
        for experiment in plan([scenario], replace(options, lacks=()), asked.seed):
            for injection in experiment.experiment.injections:
                missing |= {need: target.lacks[need] for need in lacking(injection.fault, target.lacks)}
    reasons = [f"{need}: {reason}" for need, reason in missing.items()]
    if not done:
        raise NotPossible(f"nothing of {', '.join(each.name for each in asked.scenarios)} can be done. {reasons}")
    for scenario in asked.scenarios:
        if scenario.name not in done:
            console.print(f"{scenario.name} is left out: it can not be done here", style="yellow")
    for reason in reasons:
        console.print(f"not to be had here: {reason}", style="yellow", highlight=False)


def _heal_when_interrupted(interrupted: asyncio.Event, console: Console) -> None:
    """The first Ctrl-C ends the run in good order, the second one at once."""
    loop = asyncio.get_running_loop()
    main = asyncio.current_task()
    assert main is not None

    def interrupt() -> None:
        if interrupted.is_set():
            main.cancel()
            return
        interrupted.set()
        console.print("interrupted: healing, then judging what there is; once more to stop at once", style="yellow")

    loop.add_signal_handler(signal.SIGINT, interrupt)

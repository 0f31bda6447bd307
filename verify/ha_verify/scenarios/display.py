"""How far a run is: a live line in a terminal, a line per step elsewhere."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from ha_verify.workloads import Client


class ConsoleDisplay:
    """Phase, fault and running counts of one experiment after the other."""

    def __init__(self, console: Console, experiments: int) -> None:
        self._console = console
        self._client: Client | None = None
        self._label = self._step = ""
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeElapsedColumn(),
            _Live(self._counts),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._task = self._progress.add_task("", total=experiments)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, label: str) -> None:
        self._label, self._client = label, None
        self._show("begin")

    def end(self) -> None:
        self._progress.advance(self._task)
        self._plain(f"{self._label}: ended; {self._counts()}")

    def watch(self, client: Client) -> None:
        self._client = client

    def phase(self, name: str) -> None:
        self._show(name)

    def fault(self, name: str, number: int, of: int) -> None:
        self._show(f"{name} ({number}/{of})")

    def note(self, text: str) -> None:
        self._console.print(f"{self._label}: {text}", style="yellow", highlight=False, markup=False)

    def _show(self, step: str) -> None:
        self._step = step
        self._progress.update(self._task, description=f"{self._label}: {step}")
        self._plain(f"{self._label}: {step}; {self._counts()}")

    def _plain(self, line: str) -> None:
        if not self._console.is_terminal:
            self._console.print(f"{time.strftime('%H:%M:%S')} {line}", highlight=False, markup=False, soft_wrap=True)

    def _counts(self) -> str:
        counts = self._client.counts if self._client else {}
        return " ".join(f"{outcome} {counts.get(outcome, 0)}" for outcome in ("ok", "fail", "info"))


class _Live(ProgressColumn):
    """A text that is asked for whenever the line is drawn."""

    def __init__(self, text: Callable[[], str]) -> None:
        self._text = text
        super().__init__()

    def render(self, task: Task) -> Text:
        return Text(self._text())

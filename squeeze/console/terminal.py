"""Steps as they run: one line a step, in place on a terminal; plain lines without one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table

from squeeze.console.remaining import Remaining
from squeeze.console.text import shown
from squeeze.plain_text import printable
from squeeze.progress import Progress
from squeeze.quantities import show_seconds

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_TITLE = 10
_PLAIN_SECONDS = 20.0


class _Clock(TextColumn):
    """The time that the step has run."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return shown(show_seconds(task.elapsed or 0.0))


class Terminal(Progress):
    """Steps as they run. In place on a terminal; elsewhere a line when a step ends and one every 20 seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Bars | None = None
        self.task: TaskID | None = None
        self.step = ""
        self.number = 0
        self.said = 0.0
        self.remaining = Remaining()

    def headline(self, lines: list[tuple[str, str]]) -> None:
        self.console.print()
        for word, text in lines:
            line = shown(f"{word:<{_TITLE}}", style="bold") + shown(text, style="not bold")
            self.console.print(line, soft_wrap=True)
        self.console.print()

    def begin(self, step: str) -> None:
        self.step = step
        self.number += 1
        self.said = time.monotonic()
        self.remaining = Remaining()
        if self.console.is_interactive:  # not on a terminal that can only append lines
            self.bars = Bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[note]}", markup=False),
                _Clock(),
                console=self.console,
                transient=True,
            )
            self.task = self.bars.add_task(self._title(), total=None, note="")
            self.bars.start()

    def update(self, done: int, total: int, note: str = "") -> None:
        now = time.monotonic()
        words = f"{done:,}/{total:,} {note}" if total else note
        left = self.remaining.seconds(done, total, now)
        if left is not None:
            words += f" · {show_seconds(left)} left"
        if self.bars is not None and self.task is not None:
            said = printable(words)
            self.bars.update(self.task, completed=done, total=total or None, note=said)
        elif now - self.said > _PLAIN_SECONDS:
            self.said = now
            self._plain(f"{self._title()}  {words}")

    def end(self, summary: str, seconds: float, *, reused: bool = False) -> None:
        self.close()
        when = "reused" if reused else show_seconds(seconds)
        if not self.console.is_terminal:
            self._plain(f"{self._title()}  {summary}  {when}")
            return
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        line.add_row(shown(self._title()), shown(summary), shown(when, style="dim"))
        self.console.print(line)

    def close(self) -> None:
        """Takes the bar off the screen; also when a step was interrupted."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = self.task = None

    def _plain(self, line: str) -> None:
        self.console.print(shown(line), soft_wrap=True)

    def _title(self) -> str:
        return f"{self.number} {self.step:<{_TITLE - 2}}"

"""What the terminal shows: one line a step, in place; plain lines without a terminal; tables at the end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Task, TaskID, TextColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from squeeze.metrics import resolve
from squeeze.progress import Progress
from squeeze.quantities import show_bytes, show_ms, show_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.artifact import Artifact

Json = dict[str, Any]  # Any: JSON
_TITLE = 10
_PLAIN_SECONDS = 20.0


class _Clock(TextColumn):
    """The time that the step has run."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        return Text(show_seconds(task.elapsed or 0.0))


class Terminal(Progress):
    """Steps as they run. In place on a terminal; elsewhere a line when a step ends and one every 20 seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars: Bars | None = None
        self.task: TaskID | None = None
        self.step = ""
        self.number = 0
        self.said = 0.0

    def headline(self, lines: list[tuple[str, str]]) -> None:
        self.console.print()
        for word, text in lines:
            line = Text(f"{word:<{_TITLE}}", style="bold") + Text(text, style="not bold")
            self.console.print(line, soft_wrap=True)
        self.console.print()

    def begin(self, step: str) -> None:
        self.step = step
        self.number += 1
        self.said = time.monotonic()
        if self.console.is_terminal:
            self.bars = Bars(
                TextColumn("{task.description}"),
                BarColumn(bar_width=20),
                TextColumn("{task.fields[note]}"),
                _Clock(),
                console=self.console,
                transient=True,
            )
            self.task = self.bars.add_task(self._title(), total=None, note="")
            self.bars.start()

    def update(self, done: int, total: int, note: str = "") -> None:
        if self.bars is not None and self.task is not None:
            shown = f"{done:,}/{total:,} {note}"
            self.bars.update(self.task, completed=done, total=total, note=shown)
        elif time.monotonic() - self.said > _PLAIN_SECONDS:
            self.said = time.monotonic()
            self._plain(f"{self._title()}  {done:,}/{total:,} {note}")

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
        line.add_row(Text(self._title()), Text(summary), Text(when, style="dim"))
        self.console.print(line)

    def close(self) -> None:
        """Takes the bar off the screen; also when a step was interrupted."""
        if self.bars is not None:
            self.bars.stop()
            self.bars = self.task = None

    def _plain(self, line: str) -> None:
        self.console.print(Text(line), soft_wrap=True)

    def _title(self) -> str:
        return f"{self.number} {self.step:<{_TITLE - 2}}"


def show_package(console: Console, package: Artifact) -> None:
    """The table teacher / student / change, the verdict, and where things lie."""
    manifest = package.manifest
    teacher, student = (manifest["measurements"][w] for w in ("teacher", "student"))
    verdict = manifest["verdict"]
    checks = {c["what"]: c for c in verdict["checks"]}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for title in ("teacher", "squeezed", "change"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    metric = resolve(student["metric_name"])
    table.add_row(
        f"{metric.name}, n={student['n']:,}",
        f"{teacher['metric']:.2f} {metric.unit}".rstrip(),
        f"{student['metric']:.2f} {metric.unit}".rstrip(),
        f"{student['metric'] - teacher['metric']:+.2f}",
        _goal(checks.get("drop"), lambda v: f"{v:g} points"),
    )
    table.add_row(
        "latency p50",
        show_ms(teacher["latency_p50_ms"]),
        show_ms(student["latency_p50_ms"]),
        f"{manifest['latency_ratio'][verdict['picked']]:.1f}x",
        _goal(checks.get("latency_ms"), show_ms)
        or f"{student['threads']} thread, {student['runs']} runs",
    )
    for word, key, what in (
        ("file", "file_bytes", "bytes"),
        ("peak memory", "peak_ram_bytes", ""),
    ):
        if teacher[key] and student[key]:
            table.add_row(
                word,
                show_bytes(teacher[key]),
                show_bytes(student[key]),
                f"{teacher[key] / student[key]:.1f}x",
                _goal(checks.get(what), show_bytes),
            )
    console.print()
    console.print(table)
    console.print()
    word = "goal met" if verdict["met"] else "goal missed"
    console.print(
        Text(f"{word}: ", style="bold green" if verdict["met"] else "bold red")
        + Text(f"{verdict['picked']}, {verdict['why']}")
    )
    path = package.path
    where = f"{_shown(path / 'model.onnx')} · report: {_shown(path / 'report.html')}"
    console.print(Text(where), soft_wrap=True)
    after = f"next: squeeze verify {_shown(path)} · squeeze profile {_shown(path)}"
    console.print(Text(after), soft_wrap=True)


def show_table(console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A plain table; columns after the first are right-aligned when they start with a digit."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for i, title in enumerate(titles):
        numeric = all(r[i][:1].isdigit() for r in rows if r[i])
        table.add_column(title, justify="right" if i and numeric else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _goal(
    check: Json | None, show: Any
) -> str:  # Any: a function float -> str; mypy dislikes the lambdas
    if check is None:
        return ""
    return f"goal <= {show(check['goal'])}  {'ok' if check['ok'] else 'MISSED'}"


def _shown(path: Any) -> str:  # Any: a path; shown relative to where the user is, when it is below
    from pathlib import Path

    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)

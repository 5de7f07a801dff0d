"""Steps as they run: in place on a terminal, whole lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from squeeze.console.terminal import Terminal


def run(console: Console) -> str:
    """One step with words that look like markup, one that was reused."""
    terminal = Terminal(console)
    terminal.headline([("teacher", "net [n, 3]")])
    terminal.begin("search")
    terminal.update(1, 2000, "[/] of [n, 3]")
    terminal.end("front of 14 [n]", 75.2)
    terminal.begin("distill")
    terminal.end("93.6 %", 0.0, reused=True)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_without_a_terminal_a_step_is_a_line() -> None:
    text = run(Console(file=io.StringIO(), force_terminal=False, width=40))
    assert text.splitlines() == [
        "",
        "teacher   net [n, 3]",
        "",
        "1 search    front of 14 [n]  1:15",
        "2 distill   93.6 %  reused",
    ]


@pytest.mark.parametrize("width", [30, 100])
def test_on_a_terminal_the_line_ends_with_the_time(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width)
    text = run(console)
    assert "[/] of [n, 3]" in text or width < 60
    plain = re.sub("\x1b\\[[^a-zA-Z]*[a-zA-Z]", "", text)
    ends = [line.rstrip() for line in plain.splitlines() if "1:15" in line]
    assert len(ends) == 1
    assert ends[0].startswith("1 search")
    assert ends[0].endswith("1:15")


def test_on_a_terminal_that_only_appends_nothing_is_drawn_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    text = run(Console(file=io.StringIO(), force_terminal=True, width=60))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "1 search" in text


@pytest.mark.parametrize("terminal", [False, True])
def test_names_of_the_user_neither_move_the_cursor_nor_begin_lines(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=100)
    steps = Terminal(console)
    steps.headline([("teacher", "net\x08\n")])
    steps.begin("search")
    steps.update(1, 2, "of\x1b[31m\n")
    steps.end("front\r\n", 1.0)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert r"net\x08\n" in text
    assert r"front\r\n" in text
    assert "\x1b[31m" not in text
    assert "\x08" not in text

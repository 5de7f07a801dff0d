"""A table keeps every character of its cells, at any width."""

from __future__ import annotations

import pytest

from squeeze.console.table import show_table
from tests.console.shown import shown

TITLES = ("", "teacher", "squeezed", "change", "")
ROWS = [
    ("top-1, n=2,000", "94.20 %", "93.41 %", "-0.79", "goal <= 1.5 points  ok"),
    ("latency p50", "1.61 ms", "0.062 ms", "25.7x", "24.1x to 27.2x · 1 thread, 400 runs"),
]


def test_columns_stand_below_their_titles_and_numbers_end_together() -> None:
    assert shown(lambda console: show_table(console, TITLES, ROWS)) == [
        "                teacher  squeezed  change",
        "top-1, n=2,000  94.20 %   93.41 %   -0.79  goal <= 1.5 points  ok",
        "latency p50     1.61 ms  0.062 ms   25.7x  24.1x to 27.2x · 1 thread, 400 runs",
    ]


def test_no_line_for_titles_when_there_are_none() -> None:
    rows = [("verdict", "goal met"), ("target", "host")]
    assert shown(lambda console: show_table(console, ("", ""), rows)) == [
        "verdict  goal met",
        "target   host",
    ]


@pytest.mark.parametrize("width", [24, 40, 60, 70, 200])
def test_no_character_of_a_cell_is_lost_in_a_narrow_terminal(width: int) -> None:
    lines = shown(lambda console: show_table(console, TITLES, ROWS), width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    for row in ROWS:
        for cell in row:
            for word in cell.split():
                assert word in text


def test_rows_stand_below_each_other_where_columns_do_not_fit() -> None:
    assert shown(lambda console: show_table(console, TITLES, ROWS[:1]), 40) == [
        "top-1, n=2,000",
        "  teacher 94.20 %",
        "  squeezed 93.41 %",
        "  change -0.79",
        "  goal <= 1.5 points  ok",
    ]


def test_text_wraps_before_rows_are_stacked() -> None:
    rows = [("ok", "library", "/a/very/long/path/to/a/library.so"), ("WARN", "bf16", "none")]
    assert shown(lambda console: show_table(console, ("", "what", "found"), rows), 32) == [
        "      what     found",
        "ok    library  /a/very/long/path",
        "               /to/a/library.so",
        "WARN  bf16     none",
    ]


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("94.20 %", True),
        ("0.062 ms", True),
        ("25.7x", True),
        ("+0.0006", True),
        ("1e-05 s", True),
        ("-3.1 to 95.23", True),
        ("100.00 points", True),
        ("1,084", True),
        ("-", True),
        ("", True),
        ("9.1x to 10.2x · 1 thread, 400 runs", False),
        ("2 usable of 2", False),
        ("- nothing", False),
    ],
)
def test_numbers_are_told_from_text_that_begins_with_one(cell: str, number: bool) -> None:
    # The title is wider than the cell: only a number goes to the right.
    title = "a title that is much wider than the cell"
    line = shown(lambda console: show_table(console, ("", title), [("x", cell)]))[1]
    expected = cell.rjust(len(title)) if number else cell
    assert line == f"x  {expected}".rstrip()


def test_brackets_in_a_cell_are_text() -> None:
    rows = [("input", "x [n, 3]"), ("[/]", "[bold]")]
    assert shown(lambda console: show_table(console, ("", ""), rows)) == [
        "input  x [n, 3]",
        "[/]    [bold]",
    ]


@pytest.mark.parametrize("width", [20, 80])
def test_a_name_that_breaks_lines_breaks_none(width: int) -> None:
    titles, rows = ("op", "time"), [("a\n\x08b", "1 ms"), ("c", "2 ms")]
    lines = shown(lambda console: show_table(console, titles, rows), width=width)
    assert [line.split() for line in lines][1:] == [[r"a\n\x08b", "1", "ms"], ["c", "2", "ms"]]

"""A plain table that loses nothing: in a narrow terminal each row becomes a few lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table

from squeeze.console.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, JustifyMethod

GAP = 2
# Text may break into lines of this many characters, no shorter; numbers and the first column stay whole.
LEAST_TEXT = 16
# '94.20 %', '0.062 ms', '25.7x', '-0.79', '93.20 to 95.23', '-' and an empty cell.
NUMBER = re.compile(r"(-|[+-]?\d[\d.,e+-]*x?( to [+-]?\d[\d.,e+-]*)?( (%|points|\w{1,2}))?)?")


def show_table(console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns of numbers are right-aligned and stay whole, text may wrap. Where columns do not fit beside each other,
    they are shown one below the other."""
    columns = list(zip(titles, *rows, strict=True))
    numbers = [i > 0 and all(map(NUMBER.fullmatch, cells[1:])) for i, cells in enumerate(columns)]
    whole = [i == 0 or number for i, number in enumerate(numbers)]
    widths = [max(shown(cell).cell_len for cell in cells) for cells in columns]
    least = [
        width if stays else min(width, LEAST_TEXT)
        for width, stays in zip(widths, whole, strict=True)
    ]
    if sum(least) + GAP * (len(least) - 1) > console.width:
        _show_stacked(console, titles, rows)
        return
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=any(titles))
    for title, number, stays in zip(titles, numbers, whole, strict=True):
        justify: JustifyMethod = "right" if number else "left"
        table.add_column(shown(title), justify=justify, no_wrap=stays, overflow="fold")
    for row in rows:
        table.add_row(*map(shown, row))
    console.print(table)


def _show_stacked(console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for first, *others in rows:
        console.print(shown(first, style="bold"))
        for title, cell in zip(titles[1:], others, strict=True):
            if cell:
                line = shown(f"{title} {cell}" if title else cell)
                console.print(Padding(line, (0, 0, 0, GAP), expand=False))

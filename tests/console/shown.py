"""What a screen shows on a terminal of a given width, without colours."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable


def shown(draw: Callable[[Console], None], width: int = 120) -> list[str]:
    """The lines that `draw` prints, without the spaces at their ends."""
    console = Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    draw(console)
    assert isinstance(console.file, io.StringIO)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]

"""What people see while a command runs and after it; scripts (--json, --quiet) see nothing, and load no rich."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from squeeze.progress import Progress

# Without a terminal nothing has to be broken into lines.
PLAIN_COLUMNS = 200


def console() -> Console:
    """Standard output: colours on a terminal unless $NO_COLOR is set; elsewhere plain text in long lines."""
    from rich.console import Console

    shown = Console(highlight=False)
    if shown.is_terminal or "COLUMNS" in os.environ:
        return shown
    return Console(highlight=False, width=PLAIN_COLUMNS)


@contextmanager
def steps_shown(*, silent: bool) -> Iterator[Progress]:
    """Progress that draws steps as they run, and takes its bar off the screen however the work ends."""
    if silent:
        from squeeze.progress import Progress

        yield Progress()
        return
    from squeeze.console.terminal import Terminal

    terminal = Terminal(console())
    try:
        yield terminal
    finally:
        terminal.close()

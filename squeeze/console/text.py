"""Text for the screen, whatever it was made of; no other file here makes any."""

from __future__ import annotations

from rich.text import Text

from squeeze.plain_text import printable


def shown(text: str, style: str = "") -> Text:
    """One line, without mark-up; what cannot be seen is written out."""
    return Text(printable(text), style=style)

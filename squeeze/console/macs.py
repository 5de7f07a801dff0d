"""How screens tell a number of multiply-accumulates that may leave some out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def macs_in_words(macs: int, unknown: Sequence[str]) -> str:
    """The count, and what it leaves out: nodes of unknown cost, of which the first is named."""
    if not unknown:
        return f"{macs:,}"
    more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
    counted = f"{macs:,}" if macs else "not known"
    return f"{counted} (without {unknown[0]}{more})"

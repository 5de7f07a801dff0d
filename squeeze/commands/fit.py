"""`squeeze fit`: one screen over every target, without data, in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from squeeze.commands.across import across
from squeeze.spec import names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from squeeze.progress import Progress

# Enough for a first look; `squeeze profile` measures.
_RUNS, _SECONDS = 20, 0.5


def fit_model(
    model: str | Path,
    targets: Sequence[str] = (),
    *,
    shape: Mapping[str, Sequence[int]] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:  # Any: JSON
    """What `across` finds for `targets`, or for all that are shipped, with few runs where a target measures."""
    return across(
        model,
        list(targets) or names("targets"),
        runs=_RUNS,
        max_seconds=_SECONDS,
        operators=False,
        first_look=True,
        shape=shape,
        progress=progress,
    )

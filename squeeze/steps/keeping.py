"""Names of nodes that stay float, looked for before anything that takes its time: a typing mistake is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.quant.keep import kept, remember
from squeeze.runtimes.made_feed import made_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.teacher import Teacher


def check_kept(teacher: Teacher, patterns: Sequence[str]) -> None:
    """Raises ConfigError for a pattern that fits no node, neither of the file as it was given nor of what passes make
    of it, which is looked at only where the file itself has none."""
    if not patterns:
        return
    model = graph.load(teacher.model)
    before = remember(model, patterns)
    missing = [pattern for pattern in patterns if not before.has(pattern)]
    if missing:
        graph.optimise(model, made_sample(teacher.interface), teacher.interface)
        kept(model, missing, before)

"""Names of nodes that stay float, looked for before anything that takes its time: a typing mistake is told at once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from squeeze import graph
from squeeze.errors import ConfigError
from squeeze.quant.keep import kept, remember
from squeeze.runtimes.made_feed import made_sample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.interface import Interface
    from squeeze.net import FloatNet
    from squeeze.spec import Recipe
    from squeeze.teacher import Teacher

logger = logging.getLogger(__name__)


def check_kept(teacher: Teacher, patterns: Sequence[str]) -> None:
    """Raises ConfigError for a pattern that fits no node, neither of the file as it was given nor of what passes make
    of it, which is looked at only where the file itself has none."""
    for _, why in _unfit(teacher.model, teacher.interface, patterns):
        raise why


def keep_in(net: FloatNet, recipe: Recipe) -> Recipe:
    """The recipe for a network that is not the teacher's own: a pattern that names a node of the teacher's alone, which
    is no mistake, has no effect on it, and that is said."""
    unfit = [p for p, _ in _unfit(net.file, net.interface, recipe.quant.keep_float)]
    if not unfit:
        return recipe
    logger.warning(
        "keep-float: the %s network has no node called '%s'; there it has no effect",
        net.origin,
        "', '".join(unfit),
    )
    left = tuple(p for p in recipe.quant.keep_float if p not in unfit)
    return recipe.model_copy(update={"quant": recipe.quant.model_copy(update={"keep_float": left})})


def _unfit(
    file: Path, interface: Interface, patterns: Sequence[str]
) -> list[tuple[str, ConfigError]]:
    """Patterns that no node fits, with what would be said of them."""
    if not patterns:
        return []
    model = graph.load(file)
    before = remember(model, patterns)
    missing = [pattern for pattern in patterns if not before.has(pattern)]
    if missing:
        graph.optimise(model, made_sample(interface), interface)
    found = []
    for pattern in missing:
        try:
            kept(model, [pattern], before)
        except ConfigError as e:
            found.append((pattern, e))
    return found

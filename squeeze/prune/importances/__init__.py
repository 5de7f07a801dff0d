"""Importances: how much each unit matters. One function a file:

score(module, bundles, batches) -> Scores      the module is left as it was found
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from squeeze.errors import ConfigError, unknown
from squeeze.prune.importances import bn, distillation, l2, taylor
from squeeze.prune.units import Bundle, Samples, Scores

Importance = Callable[[nn.Module, Sequence[Bundle], Sequence[Samples]], Scores]

IMPORTANCES: dict[str, Importance] = {
    "bn": bn.score,
    "distillation": distillation.score,
    "l2": l2.score,
    "taylor": taylor.score,
}


def importance(name: str) -> Importance:
    """The importance of that name. Raises ConfigError."""
    if name not in IMPORTANCES:
        raise ConfigError(unknown("importance", name, IMPORTANCES))
    return IMPORTANCES[name]

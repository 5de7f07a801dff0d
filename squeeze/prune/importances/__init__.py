"""Importances: how much each unit matters. One function a file:

score(module, blocks, batches, loss) -> Scores      the module is left as it was found

batches, loss: for those that look at samples; `loss` follows the contract of `squeeze.losses`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import nn

from squeeze.errors import ConfigError, unknown
from squeeze.prune.importances import bn, distillation, l2, taylor
from squeeze.prune.units import Batch, Block, Scores

Importance = Callable[[nn.Module, Sequence[Block], Sequence[Batch], nn.Module | None], Scores]

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

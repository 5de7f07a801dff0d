"""Numbers per channel of a layer, from its weights or what is computed of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from squeeze.prune.units import Place


def channels(
    module: nn.Module, place: Place, of: Callable[[nn.Parameter], Tensor]
) -> NDArray[np.float64] | None:
    """For each channel of the place the sum of `of(weight)` over the weights that make it ("out") or take it ("in").

    Biases do not count. None for what has no weight of its own.
    """
    name, side = place
    if side not in ("in", "out"):
        return None
    layer = dict(module.named_modules()).get(name)
    weight = getattr(layer, "weight", None)
    if weight is None or (isinstance(layer, nn.PReLU) and layer.num_parameters == 1):
        return None
    with torch.no_grad():
        values = of(weight).double()
        if side == "out":
            found = values.flatten(1).sum(1) if values.ndim > 1 else values
        else:
            # [o, i / groups, ...] -> [groups, o / groups, i / groups, ...]: each group has inputs of its own.
            groups = layer.groups if isinstance(layer, (nn.Conv1d, nn.Conv2d)) else 1
            parts = values.reshape(groups, values.shape[0] // groups, values.shape[1], -1)
            found = parts.sum((1, 3)).flatten()
    return found.cpu().numpy()

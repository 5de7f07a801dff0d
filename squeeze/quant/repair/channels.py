"""What repairs that move factors between channels share: how large channels are, and constants times factors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import add_constant, constant, graph_of
from squeeze.quant.runner import chunks, runner_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.feed import Array, Passes

Wide = NDArray[np.float64]


def largest(
    model: ir.Model, names: Sequence[str], passes: Passes, samples: int, *, axis: int
) -> dict[str, Wide]:
    """The largest magnitude of each channel, on `axis`, of each named value: name -> [c].

    Raises ConfigError when there are no samples or they are not finite.
    """
    runner = runner_of(model, names, passes)
    found: dict[str, Wide] = {name: np.zeros(()) for name in names}
    for feed in chunks(passes, samples):
        for _, outputs in runner.run(feed):
            for name, values in zip(names, outputs, strict=True):
                found[name] = np.maximum(found[name], magnitudes(values, axis))
    return found


def magnitudes(values: Array, axis: int) -> Array:
    """The largest magnitude of each channel, on `axis`, [c]."""
    others = tuple(a for a in range(values.ndim) if a != axis % values.ndim)
    return np.asarray(np.maximum(-values.min(axis=others), values.max(axis=others)))


def scale(node: ir.Node, index: int, by: Wide, what: str) -> None:
    """The constant input times `by`, as a constant of this node's own called after `what`: others may read the old
    one."""
    old = node.inputs[index]
    array = constant(old)
    if old is None or array is None:
        raise ValueError(f"{node.name}: input {index} is not constant")
    new = (array.astype(np.float64) * by).astype(np.float32)
    node.replace_input_with(index, add_constant(graph_of(node), f"{old.name}_{what}", new))

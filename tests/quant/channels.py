"""A network whose channels are of very different size in front of a depthwise convolution."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from tests.graph.small import Array, floats, model, node

C, SIZE = 8, 6
# Sizes of the channels that the first convolution makes: some three bits apart from the largest in the mean.
SIZES = np.float32([1, 0.5, 0.05, 0.02, 0.01, 1, 0.1, 0.03])
HARD_SWISH = [
    node("HardSigmoid", ["a"], ["h"], alpha=1 / 6, beta=0.5),
    node("Mul", ["a", "h"], ["b"]),
]


def network(between: list[onnx.NodeProto], more: list[onnx.NodeProto] | None = None) -> ir.Model:
    """A convolution, a function of a that makes b, and a depthwise convolution of two outputs a channel, d."""
    return model(
        [
            node("Conv", ["x", "w", "c"], ["a"]),
            *between,
            node("Conv", ["b", "v"], ["d"], group=C, pads=[1, 1, 1, 1]),
            *(more or [node("Identity", ["d"], ["y"])]),
        ],
        {
            "w": floats(C, 3, 1, 1, seed=1) * SIZES[:, None, None, None],
            "c": 0.1 * floats(C, seed=2) * SIZES,
            "v": floats(2 * C, 1, 3, 3, seed=3) / np.repeat(SIZES, 2)[:, None, None, None],
            "slopes": np.abs(floats(C, 1, 1, seed=4)),
            "zero": np.float32(0),
            "six": np.float32(6),
        },
        (3, SIZE, SIZE),
    )


def samples(count: int = 16) -> Array:
    return floats(count, 3, SIZE, SIZE, seed=7)

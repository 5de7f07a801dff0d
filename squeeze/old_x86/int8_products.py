"""The int8 products of ONNX Runtime's own graph: their operands, and which of their weights can saturate in pairs.

CPUs without VNNI (AVX2, AVX-512 before VNNI) multiply u8 by s8 with vpmaddubsw, which adds two neighbouring products
in a saturating int16. ONNX Runtime's kernels take four weights at a time along K, so the neighbours are 0 and 1, 2 and
3, ... (MLAS: QgemmU8S8KernelAvx2.S, QgemvU8S8KernelAvx2.S, ConvSymKernelAvx2.S, and qlinearconv.cc for the order):

    QLinearConv                 K is (kernel position, input channel), channels fastest, for each group by itself
    QGemm, QLinearMatMul, ...   K is the column of the second matrix

Exact there: depthwise convolutions with one filter per channel (32-bit products), weights of type uint8 (16-bit
factors, 32-bit sums), and ConvInteger (the weights are its first factor, and no kernel for that saturates). s8
activations of a QDQ graph are u8 here, because on x86 ONNX Runtime moves them by 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from squeeze.old_x86.saturation import LARGEST_U8, offending

# Which input is which, for each operator that multiplies int8 by constant weights.
_INPUTS: dict[str, tuple[str, ...]] = {
    "DynamicQuantizeMatMul": ("x", "w", "w_scale", "w_zero", "bias"),
    "MatMulInteger": ("x", "w", "x_zero", "w_zero"),
    "MatMulIntegerToFloat": ("x", "w", "x_scale", "w_scale", "x_zero", "w_zero", "bias"),
    "QAttention": ("x", "w"),
    "QGemm": (
        *("x", "x_scale", "x_zero", "w", "w_scale", "w_zero"),
        *("bias", "y_scale", "y_zero"),
    ),
    "QLinearConv": (
        *("x", "x_scale", "x_zero", "w", "w_scale", "w_zero"),
        *("y_scale", "y_zero", "bias"),
    ),
    "QLinearMatMul": (
        *("x", "x_scale", "x_zero", "w", "w_scale", "w_zero"),
        *("y_scale", "y_zero"),
    ),
}


@dataclass(frozen=True)
class RiskyPairs:
    """Pairs of weights that can saturate: weights `first` and `first` + 1 along K of output `channel`, [r] each."""

    channel: NDArray[np.intp]
    first: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.channel)


@dataclass(frozen=True)
class Product:
    """A node that multiplies u8 by constant s8 weights [o, k], in the order in which the runtime does it.

    inputs: the names of those inputs that it has. weight: as the node has it.
    """

    node: onnx.NodeProto
    inputs: Mapping[str, str]
    weight: NDArray[np.int8]
    rows: NDArray[np.int8]
    pairs: RiskyPairs

    @property
    def name(self) -> str:
        return self.node.name or self.node.output[0]

    @property
    def is_conv(self) -> bool:
        return self.node.op_type == "QLinearConv"


def product(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> Product | None:
    """The product that `node` computes by vpmaddubsw, or None."""
    if node.op_type not in _INPUTS:
        return None
    inputs = {k: v for k, v in zip(_INPUTS[node.op_type], node.input, strict=False) if v}
    stored = constants.get(inputs["w"])
    if stored is None or stored.data_type != onnx.TensorProto.INT8:
        return None
    weight: NDArray[np.int8] = numpy_helper.to_array(stored)
    if node.op_type != "QLinearConv":
        by_row = attribute(node, "transB", 0)
        rows = weight if by_row else np.moveaxis(weight, -2, -1).reshape(-1, weight.shape[-2])
    elif weight.shape[1] == 1 and len(weight) == attribute(node, "group", 1):
        return None  # depthwise
    else:
        rows = np.moveaxis(weight, 1, -1).reshape(len(weight), -1)
    return Product(node, inputs, weight, rows, risky_pairs(rows))


def risky_pairs(rows: NDArray[np.int8]) -> RiskyPairs:
    """The pairs (0, 1), (2, 3), ... of each row of weights [o, k] that u8 activations can make saturate."""
    channel, first, _ = offending(rows.astype(np.int64), LARGEST_U8, "runtime").T
    return RiskyPairs(channel, first)


def attribute(node: onnx.NodeProto, name: str, default: int) -> int:
    """An integer attribute of `node`."""
    return next((a.i for a in node.attribute if a.name == name), default)

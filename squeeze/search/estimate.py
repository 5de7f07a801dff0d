"""Latency and bytes of an int8 student guessed from its layers, to place candidates before any is measured.

Rates were measured with stock ONNX Runtime int8 on an AVX512-VNNI Xeon, one thread; on another machine, or with fused
native ops, they are off by one common factor, which the measured candidates correct.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from squeeze.students import ArchCost
    from squeeze.students.tokens import Part
    from squeeze.teacher import Teacher

# Billions of multiply-accumulates a second by the smaller of input and output channels.
_DENSE_RATES = ((64, 220.0), (32, 180.0), (16, 100.0), (8, 45.0), (1, 14.0))
_DEPTHWISE_RATES = ((64, 14.0), (32, 12.0), (16, 8.0), (1, 4.0))
_NODE_MS = 0.0004
SESSION_MS = 0.004
# fp32 of the same machine: what the teacher would need there, to tell how much slower this one is.
_TEACHER_RATE = 65.0
_MOST_FACTOR = 20.0

_FLOAT_BYTES = 4  # of positions and normalisations


@dataclass(frozen=True)
class Stored:
    """What a quantised file holds: `bits` of each weight between the two ends, which have 8; bytes for each channel and
    layer, and by itself."""

    bits: int
    channel_bytes: int
    layer_bytes: int
    file_bytes: int

    def layer(self, weights: int, channels: int, *, end: bool) -> int:
        """Guessed bytes of one layer. end: it is the first or the last one."""
        bits = 8 if end else self.bits
        return weights * bits // 8 + self.channel_bytes * channels + self.layer_bytes


# Int8 in quantize and dequantize nodes: per channel a bias (4 bytes), scales of weight and bias (8), zero points; per
# layer nodes and short names. With fused operators it is a little smaller.
INT8 = Stored(8, 14, 450, 500)


def stored(bits: int) -> Stored:
    """How weights of so many bits are held: fewer than 8 are packed, in fused operators alone, with a bias and a scale
    per channel, a codebook per layer, and function bodies that are paid once."""
    return INT8 if bits == 8 else Stored(bits, 8, 330, 3200)


def latency_ms(cost: ArchCost) -> float:
    """Guessed milliseconds of one sample on the reference machine."""
    return SESSION_MS + sum(map(_layer_ms, cost.layers))


def machine_factor(teacher: Teacher, teacher_latency_ms: float) -> float:
    """How many times slower than the reference this machine ran the teacher; 1 for a teacher with depthwise layers.

    Those run at rates that say little about the machine.
    """
    if teacher.census.get("DepthwiseConv", 0):
        return 1.0
    return min(_MOST_FACTOR, max(1 / _MOST_FACTOR, teacher_latency_ms / reference_ms(teacher)))


def reference_ms(teacher: Teacher) -> float:
    """Guessed milliseconds of the float teacher on the reference machine."""
    # Depthwise convolutions are counted among the convolutions as well.
    nodes = sum(n for op, n in teacher.census.items() if op != "DepthwiseConv")
    return teacher.macs / (_TEACHER_RATE * 1e6) + nodes * _NODE_MS + SESSION_MS


def file_bytes(cost: ArchCost, held: Stored = INT8) -> int:
    """Guessed bytes of the quantised file."""
    weighted = [i for i, layer in enumerate(cost.layers) if layer.weights]
    ends = {*weighted[:1], *weighted[-1:]}
    layers = sum(
        held.layer(layer.weights, layer.outputs if layer.weights else 0, end=i in ends)
        for i, layer in enumerate(cost.layers)
    )
    floats = sum(layer.params for layer in cost.layers if not layer.weights)
    return layers + _FLOAT_BYTES * floats + held.file_bytes


def int8_ram_bytes(cost: ArchCost) -> int:
    """Guessed bytes of what is alive at once: the output of a layer and of the one before, a byte each."""
    sizes = cost.activations
    return max((a + b for a, b in pairwise(sizes)), default=sum(sizes))


def smooth_layer_ms(macs: int, narrowest: int, *, depthwise: bool) -> float:
    """Guessed milliseconds of a layer, the rates between those of the table too: for what goes a few channels at a
    time. narrowest: the fewer of input and output channels."""
    widths, rates = zip(*reversed(_DEPTHWISE_RATES if depthwise else _DENSE_RATES), strict=True)
    return float(macs / (np.interp(narrowest, widths, rates) * 1e6) + _NODE_MS)


def _layer_ms(layer: Part) -> float:
    table = _DEPTHWISE_RATES if layer.depthwise else _DENSE_RATES
    channels = min(layer.inputs, layer.outputs)
    rate = next((r for least, r in table if channels >= least), table[-1][1])
    return layer.macs / (rate * 1e6) + _NODE_MS

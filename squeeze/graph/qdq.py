"""What lowering asks of a QDQ graph: which grid a tensor is on, and which integers stand for weights and biases.

Writers differ: weights as int8, as uint8 around 128, or as float numbers behind a QuantizeLinear; scales per tensor or
per channel, negative axes; biases as int32 or as float. All of these are read here, so that no pass has to know them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.values import constant, integer, is_op, only_user, producer, rank

Array = NDArray[Any]  # Any: of whatever element type the file has

_SCALES = (np.float32, np.float16)
# The stock runtime ignores the scale of the bias and takes x_scale * w_scale; further apart we do not dare.
BIAS_SCALE_TOLERANCE = 1e-3
# 256 steps of a larger one are no float32 number any more.
LARGEST_SCALE = float(np.finfo(np.float32).max) / 256
# Half of int32, so that the sum of the products cannot overflow either.
LARGEST_BIAS = 2**30


class Refused(Exception):
    """A node is not lowered; the text says why, to the user."""


Reasons = dict[ir.Node, str]  # nodes that are left alone, and why


@dataclass(frozen=True)
class Grid:
    """real = scale * (integer - zero_point), with integers of `dtype` (uint8 or int8)."""

    scale: float  # a float32 value
    zero_point: int
    dtype: str = "uint8"

    @property
    def least(self) -> int:
        return int(np.iinfo(self.dtype).min)

    @property
    def most(self) -> int:
        return int(np.iinfo(self.dtype).max)

    def quantise(self, real: float) -> int:
        """What QuantizeLinear makes of one number; infinite ones saturate."""
        step = np.float32(real) / np.float32(self.scale)
        return int(np.clip(np.rint(step) + self.zero_point, self.least, self.most))

    def real(self, integer: int) -> float:
        """What DequantizeLinear makes of one integer, a float32 value."""
        return float(np.float32(integer - self.zero_point) * np.float32(self.scale))

    def numbers(self) -> NDArray[np.float32]:
        """What its 256 bytes mean [256], byte 0 first."""
        integers = np.arange(256, dtype=np.uint8).view(self.dtype).astype(np.float32)
        steps = integers - np.float32(self.zero_point)
        return np.asarray(steps * np.float32(self.scale), np.float32)

    def constants(self) -> tuple[Array, Array]:
        """Scale and zero point as the inputs of an operator."""
        return np.asarray(self.scale, np.float32), np.asarray(self.zero_point, self.dtype)


@dataclass(frozen=True)
class Quantised:
    """An 8-bit tensor and what its numbers mean."""

    value: ir.Value
    grid: Grid


@dataclass(frozen=True)
class Weights:
    """int8 weights, output channels first, zero point 0. `scale`: [o]."""

    integers: NDArray[np.int8]
    scale: NDArray[np.float32]


def are_scales(scale: Array) -> bool:
    """Whether numbers can be counted in all of these: finite, above 0, and 8 bits of them are float32 numbers."""
    return bool(
        (np.isfinite(scale) & (scale > 0) & (scale.astype(np.float64) <= LARGEST_SCALE)).all()
    )


def grid_of(node: ir.Node) -> Grid | None:
    """The grid of a QuantizeLinear or DequantizeLinear that has one constant scale for the tensor, else None.

    A float16 scale is a float32 one too; what is left of half precision is how the runtime rounds between the nodes.
    """
    scale = constant(node.inputs[1])
    if scale is None or scale.size != 1 or scale.dtype not in _SCALES or not are_scales(scale):
        return None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        zero_point = constant(node.inputs[2])
        if zero_point is None or zero_point.dtype not in (np.uint8, np.int8):
            return None
        return Grid(float(scale.item()), int(zero_point.item()), str(zero_point.dtype))
    kind = (
        node.outputs[0].dtype
        if is_op(node, "QuantizeLinear")
        else (node.inputs[0].dtype if node.inputs[0] is not None else None)
    )
    named = {ir.DataType.UINT8: "uint8", ir.DataType.INT8: "int8"}
    if kind not in named:
        return None
    return Grid(float(scale.item()), 0, named[kind])


def dequantised(value: ir.Value | None) -> Quantised | None:
    """The 8-bit tensor that `value` is the float form of, or None."""
    node = producer(value, "DequantizeLinear")
    grid = grid_of(node) if node is not None else None
    if node is None or grid is None or node.inputs[0] is None:
        return None
    return Quantised(node.inputs[0], grid)


def quantised(node: ir.Node) -> Quantised | None:
    """What a QuantizeLinear makes, or None."""
    grid = grid_of(node)
    return None if grid is None else Quantised(node.outputs[0], grid)


def activation(value: ir.Value | None) -> Quantised:
    """As `dequantised`, for the u8 input of an operator. Raises Refused."""
    found = dequantised(value)
    if found is None:
        raise Refused("its input is not a quantised u8 tensor")
    if found.grid.dtype != "uint8":
        raise Refused("its input is s8 and enters or leaves the graph so")
    return found


def only_quantiser(value: ir.Value) -> ir.Node | None:
    """The QuantizeLinear to u8 that alone reads `value`, or None."""
    node = only_user(value)
    if node is None or not is_op(node, "QuantizeLinear") or node.inputs[0] is not value:
        return None
    grid = grid_of(node)
    return node if grid is not None and grid.dtype == "uint8" else None


def weights(value: ir.Value | None, output_axis: int) -> Weights:
    """The weights behind the DequantizeLinear (and a Transpose) that makes `value`. Raises Refused."""
    order: list[int] | None = None
    if (transpose := producer(value, "Transpose")) is not None:
        value = transpose.inputs[0]
        dims = rank(value)
        given = transpose.attributes.get("perm")
        order = list(given.as_ints()) if given is not None else list(range(dims or 0))[::-1]
    node = producer(value, "DequantizeLinear")
    if node is None or node.attributes.get("block_size") is not None:
        raise Refused("its weights are not quantised")
    stored = _integers(node.inputs[0])
    scale = constant(node.inputs[1])
    if stored is None or scale is None or stored.dtype not in (np.int8, np.uint8):
        raise Refused("its weights are not a constant of 8 bits")
    # Channels whose weights are all 0 may have the scale 0.
    if not are_scales(scale[scale != 0]):
        raise Refused("its weights have a scale that is negative, not finite or too large")
    has_zero = len(node.inputs) > 2 and node.inputs[2] is not None
    zero_point = constant(node.inputs[2]) if has_zero else np.zeros(1, stored.dtype)
    if zero_point is None:
        raise Refused("its weights have a computed zero point")
    axis = integer(node, "axis", 1) % max(stored.ndim, 1)
    if zero_point.size not in (1, *stored.shape[axis : axis + 1]):
        raise Refused("a zero point for another number of channels than the weights have")
    centred = stored.astype(np.int64) - _along(zero_point, axis, stored.ndim)
    if centred.min(initial=0) < -128 or centred.max(initial=0) > 127:
        raise Refused("weights with a zero point that leaves int8")
    if order is not None:
        centred, axis = centred.transpose(order), order.index(axis)
    output_axis %= centred.ndim
    if scale.size > 1 and (axis != output_axis or scale.size != centred.shape[axis]):
        raise Refused("weight scales are not per output channel")
    integers = np.ascontiguousarray(np.moveaxis(centred, output_axis, 0).astype(np.int8))
    spread = np.broadcast_to(scale.astype(np.float32).reshape(-1), integers.shape[:1]).copy()
    return Weights(integers, spread)


def bias(value: ir.Value | None, x_scale: float, w: Weights) -> tuple[NDArray[np.int32], bool]:
    """The bias [o] in steps of x_scale * w_scale, and whether a float one was rounded to them. Raises Refused."""
    wide_steps = np.float64(np.float32(x_scale)) * w.scale
    if wide_steps.max(initial=0.0) > LARGEST_SCALE:
        raise Refused("x_scale * w_scale is too large")
    steps = wide_steps.astype(np.float32)  # the product of two float32 numbers is exact before
    if value is None:
        return np.zeros(steps.shape, np.int32), False
    given = _real_bias(value)
    if given is not None and given.dtype in _SCALES:
        if given.size != 1 and (given.size != steps.size or given.shape[-1:] != steps.shape):
            raise Refused("its bias is not one number per output channel")
        wide = np.broadcast_to(given.reshape(-1).astype(np.float64), steps.shape)
        if not (steps > 0).all() or not np.isfinite(wide).all():
            raise Refused("its float bias has no int32 form in steps of x_scale * w_scale")
        whole = np.rint(wide / steps.astype(np.float64))
        if not np.abs(whole).max(initial=0.0) <= LARGEST_BIAS:
            raise Refused("its float bias is too large for int32 in steps of x_scale * w_scale")
        return whole.astype(np.int32), True
    node = producer(value, "DequantizeLinear")
    stored = constant(node.inputs[0]) if node is not None else None
    if node is None or stored is None or stored.dtype != np.int32:
        raise Refused("its bias is not a constant of int32 or float")
    scale = constant(node.inputs[1])
    if scale is None or not np.allclose(
        scale.reshape(-1), steps, rtol=BIAS_SCALE_TOLERANCE, atol=0.0
    ):
        raise Refused("the scale of its bias is not x_scale * w_scale")
    zero_point = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if zero_point is not None and zero_point.any():
        raise Refused("bias with a zero point")
    return np.broadcast_to(stored.reshape(-1), steps.shape).astype(np.int32), False


def _real_bias(value: ir.Value) -> Array | None:
    """A bias that is float, or stored in 8 bits, which are no steps of the sum."""
    node = producer(value, "DequantizeLinear")
    stored = None if node is None else _integers(node.inputs[0])
    in_bytes = stored is not None and stored.dtype.itemsize == 1
    return real_constant(value) if in_bytes else constant(value)


def real_constant(value: ir.Value | None) -> Array | None:
    """A constant, also one that is stored quantised, in float32 then; None for everything else."""
    node = producer(value, "DequantizeLinear")
    if node is None:
        return constant(value)
    stored, scale = _integers(node.inputs[0]), constant(node.inputs[1])
    has_zero = len(node.inputs) > 2 and node.inputs[2] is not None
    zero_point = constant(node.inputs[2]) if has_zero else np.zeros((), np.int64)
    if stored is None or scale is None or zero_point is None or "block_size" in node.attributes:
        return None
    if stored.dtype.kind not in "iu" or scale.dtype not in _SCALES:
        return None
    axis = integer(node, "axis", 1) % max(stored.ndim, 1)
    if not {scale.size, zero_point.size} <= {1, *stored.shape[axis : axis + 1]}:
        return None
    steps = stored.astype(np.int64) - _along(zero_point, axis, stored.ndim)
    return steps.astype(np.float32) * _along(scale.astype(np.float32), axis, stored.ndim)


def _integers(value: ir.Value | None) -> Array | None:
    """A constant of 8 bits, also one that a QuantizeLinear makes of float weights, or of such that were rounded before:
    exporters store equal parameters once and hand them on."""
    stored = constant(value)
    node = producer(value, "QuantizeLinear")
    if stored is not None or node is None:
        return stored
    real, scale = real_constant(node.inputs[0]), constant(node.inputs[1])
    has_zero = len(node.inputs) > 2 and node.inputs[2] is not None
    zero_point = constant(node.inputs[2]) if has_zero else np.zeros(1, np.uint8)
    if real is None or scale is None or zero_point is None:
        return None
    if not are_scales(scale) or not np.isfinite(real).all():
        return None
    if zero_point.dtype not in (np.uint8, np.int8):
        return None
    axis = integer(node, "axis", 1) % max(real.ndim, 1)
    steps = np.rint(real.astype(np.float32) / _along(scale, axis, real.ndim))
    limits = np.iinfo(str(zero_point.dtype))
    moved = steps + _along(zero_point, axis, real.ndim).astype(np.int64)
    return np.asarray(np.clip(moved, limits.min, limits.max), zero_point.dtype)


def _along(array: Array, axis: int, dims: int) -> Array:
    """A scale or zero point so that it broadcasts along `axis`; zero points as wide integers."""
    wide = array if array.dtype.kind == "f" else array.astype(np.int64)
    shape = [-1 if i == axis else 1 for i in range(dims)] if array.size > 1 else []
    return np.reshape(wide, shape)

"""An int8 file as x86 CPUs without VNNI compute it: ONNX Runtime's own graph, with sums of two products saturated.

A product that cannot saturate stays as it is. Any other becomes an exact one (uint8 weights around 128, exact on every
CPU) plus, for each pair of weights that can saturate, what saturation takes away. All sums are of integers, and what
follows rounds as the runtime does, so the outputs are the same to the bit. `int8_products` says what is multiplied how.

    x -+-> ConvInteger ------------------------------------------------> + -> + bias -> requantise -> y
       +-> every tap as a channel -> two for each pair -> x w + x w -> clip(p) - p, added up -^
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze.errors import UnsupportedError
from squeeze.machine.cpu import flags
from squeeze.old_x86.int8_products import Product, attribute, product
from squeeze.old_x86.saturation import HIGHEST, LOWEST
from squeeze.runtimes.ort import session

# So many pairs at a time: it bounds memory, and keeps their sums below 2^24, up to where float32 counts exactly.
PAIRS_AT_ONCE = 512
# Weights move by this to become uint8.
MIDDLE = 128
# A float for each of its channels and pairs; a file of protobuf ends at 2 GiB.
MOST_EMULATED_BYTES = 2**30
_NOT_EMULATED = ("DynamicQuantizeMatMul", "QAttention")
_GEOMETRY = ("auto_pad", "dilations", "kernel_shape", "pads", "strides")


@dataclass(frozen=True)
class Saturating:
    """An operator of the runtime's graph that can saturate: in how many of its channels and pairs of weights."""

    name: str
    channels: int
    channels_at_risk: int
    pairs_at_risk: int


@dataclass(frozen=True)
class Emulated:
    """A model for any CPU that computes the emulated outputs: without `layers`, what the original computes."""

    model: bytes
    layers: tuple[Saturating, ...]


def saturates(cpuinfo: str | None = None) -> bool:
    """Whether ONNX Runtime on this CPU (or that of the text of a /proc/cpuinfo) adds pairs of products in 16 bits."""
    has = flags(cpuinfo)
    return "avx2" in has and not has & {"avx512_vnni", "avx_vnni"}


def emulated(model: Path, *, saturate: bool = True) -> Emulated:
    """`model` (QDQ, or lowered to our ops, of which the function bodies are taken) as a CPU without VNNI runs it.

    `saturate=False` gives exact sums instead: the same question asked on a CPU without VNNI. Raises MeasureError when
    the runtime cannot open the model, UnsupportedError when an operator that is not emulated can saturate.
    """
    with tempfile.TemporaryDirectory(prefix="squeeze-") as folder:
        optimised = Path(folder) / "optimised.onnx"
        session(model, native=False, optimised_path=optimised)
        proto = onnx.load(optimised, load_external_data=False)
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    layers: list[Saturating] = []
    for node in proto.graph.node:
        found = product(node, constants)
        if found is None or not found.pairs:
            nodes.append(node)
            continue
        if why := _unfit(found, constants):
            raise UnsupportedError(
                f"{model}: {found.name} ({node.op_type}) can saturate on CPUs without VNNI and is "
                f"not emulated: {why}; weights within -64..64 cannot saturate"
            )
        at_risk = len(np.unique(found.pairs.channel))
        layers.append(Saturating(found.name, len(found.rows), at_risk, len(found.pairs)))
        new = _Rewritten(found, constants, saturate=saturate)
        nodes.extend(new.nodes)
        proto.graph.initializer.extend(new.constants)
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return Emulated(proto.SerializeToString(), tuple(layers))


def _unfit(found: Product, constants: dict[str, TensorProto]) -> str | None:
    if found.node.op_type in _NOT_EMULATED:
        return "only operators of static quantisation are"
    if not found.is_conv and found.weight.ndim != 2:
        return f"its weights have rank {found.weight.ndim}"
    if attribute(found.node, "transA", 0):
        return "it transposes its input"
    zero = constants.get(found.inputs.get("w_zero", ""))
    if zero is not None and numpy_helper.to_array(zero).any():
        return "its weights have a zero point"
    if (size := 4 * len(found.rows) * len(found.pairs)) > MOST_EMULATED_BYTES:
        count, channels = len(found.pairs), len(found.rows)
        return (
            f"{count:,} pairs of weights in {channels:,} channels would take {size / 2**30:.0f} GiB"
        )
    return None


class _Rewritten:
    """The nodes and constants that stand for one product. Names of new values begin with that of its output."""

    def __init__(
        self, found: Product, constants: dict[str, TensorProto], *, saturate: bool
    ) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[TensorProto] = []
        self._found, self._known = found, constants
        self._geometry = {
            a.name: helper.get_attribute_value(a)
            for a in found.node.attribute
            if a.name in _GEOMETRY
        }
        dims = found.weight.ndim
        self._last = found.is_conv and bool(attribute(found.node, "channels_last", 0))
        x = found.inputs["x"]
        if self._last:
            x = self._add("Transpose", x, perm=[0, dims - 1, *range(1, dims - 1)])
        sums = self._exact(x)
        if saturate:
            sums = self._saturated(x, sums)
        y = self._finished(sums)
        if self._last:
            y = self._add("Transpose", y, perm=[0, *range(2, dims), 1])
        self._add("Identity", y, output=found.node.output[0])

    def _exact(self, x: str) -> str:
        """The int32 sums of products, by the kernels for uint8 weights."""
        found = self._found
        moved = (found.weight.astype(np.int16) + MIDDLE).astype(np.uint8)
        middle = self._constant(np.uint8(MIDDLE))
        zero = found.inputs.get("x_zero") or self._constant(np.uint8(0))
        if found.is_conv:
            group = attribute(found.node, "group", 1)
            inputs = (x, self._constant(moved), zero, middle)
            return self._add("ConvInteger", *inputs, group=group, **self._geometry)
        rows = moved.T if attribute(found.node, "transB", 0) else moved
        return self._add("MatMulInteger", x, self._constant(rows), zero, middle)

    def _saturated(self, x: str, sums: str) -> str:
        """`sums` without what saturation takes away from them."""
        found, pairs = self._found, self._found.pairs
        real = self._add("Cast", x, to=TensorProto.FLOAT)
        taps = self._taps(real) if found.is_conv else real
        axis = 1 if found.is_conv else -1
        for start in range(0, len(pairs), PAIRS_AT_ONCE):
            channel = pairs.channel[start : start + PAIRS_AT_ONCE]
            first = pairs.first[start : start + PAIRS_AT_ONCE]
            products = [
                self._add(
                    "Mul",
                    self._add("Gather", taps, self._constant(self._tap(k, channel)), axis=axis),
                    self._constant(self._by_channel(found.rows[channel, k].astype(np.float32))),
                )
                for k in (first, first + 1)
            ]
            pair = self._add("Add", *products)
            limits = (self._constant(np.float32(limit)) for limit in (LOWEST, HIGHEST))
            less = self._add("Sub", self._add("Clip", pair, *limits), pair)
            belongs = channel == np.arange(len(found.rows))[:, None]  # [o, r]
            ones = belongs.astype(np.float32)
            if found.is_conv:
                kernel = self._constant(ones.reshape(*ones.shape, *[1] * (found.weight.ndim - 2)))
                total = self._add("Conv", less, kernel)
            else:
                total = self._add("MatMul", less, self._constant(ones.T))
            sums = self._add("Add", sums, self._add("Cast", total, to=TensorProto.INT32))
        return sums

    def _taps(self, real: str) -> str:
        """Every kernel position of every input channel as a channel of its own, zero points in the padding."""
        channels, *kernel = self._found.weight.shape[1:]
        channels *= attribute(self._found.node, "group", 1)
        positions = int(np.prod(kernel))
        one_hot = np.tile(np.eye(positions, dtype=np.float32), (channels, 1))
        weights = self._constant(one_hot.reshape(channels * positions, 1, *kernel))
        zero = self._real_zero(self._found.inputs.get("x_zero"))
        moved = self._add("Sub", real, zero) if zero else real
        taps = self._add("Conv", moved, weights, group=channels, **self._geometry)
        return self._add("Add", taps, zero) if zero else taps

    def _tap(self, k: NDArray[np.intp], channel: NDArray[np.intp]) -> NDArray[np.int64]:
        """Where the factor of weight `k` of `channel` is in the taps (or in the row of a matrix), [r]."""
        if not self._found.is_conv:
            return k.astype(np.int64)
        outputs, inputs = self._found.weight.shape[:2]
        positions = self._found.rows.shape[1] // inputs
        group = channel // (outputs // attribute(self._found.node, "group", 1))
        return np.asarray((group * inputs + k % inputs) * positions + k // inputs, np.int64)

    def _finished(self, sums: str) -> str:
        """Bias, scale and rounding, in the order and precision of the runtime."""
        has = self._found.inputs
        floating = self._found.node.op_type == "MatMulIntegerToFloat"
        if "bias" in has and not floating:
            sums = self._add("Add", sums, self._spread(has["bias"]))
        if "x_scale" not in has:
            return sums
        scale = self._add("Mul", has["x_scale"], has["w_scale"])
        if "y_scale" in has:
            scale = self._add("Div", scale, has["y_scale"])
        real = self._add("Mul", self._add("Cast", sums, to=TensorProto.FLOAT), self._spread(scale))
        if floating and "bias" in has:
            return self._add("Add", real, has["bias"])
        if "y_zero" not in has:
            return real
        kind = self._known[has["y_zero"]].data_type
        limits = np.iinfo(helper.tensor_dtype_to_np_dtype(kind))
        bounds = (self._constant(np.float32(limit)) for limit in (limits.min, limits.max))
        zero = self._add("Cast", has["y_zero"], to=TensorProto.FLOAT)
        rounded = self._add("Add", self._add("Round", real), zero)
        return self._add("Cast", self._add("Clip", rounded, *bounds), to=kind)

    def _spread(self, value: str) -> str:
        """One number, or one per output channel, so that it broadcasts along the channels."""
        if not self._found.is_conv:
            return value
        return self._add("Reshape", value, self._constant(self._by_channel_shape()))

    def _by_channel(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return array.reshape(self._by_channel_shape()) if self._found.is_conv else array

    def _by_channel_shape(self) -> NDArray[np.int64]:
        return np.array([-1, *[1] * (self._found.weight.ndim - 2)], np.int64)

    def _real_zero(self, value: str | None) -> str | None:
        return self._add("Cast", value, to=TensorProto.FLOAT) if value else None

    def _add(
        self,
        op_type: str,
        *inputs: str,
        output: str | None = None,
        **attributes: Any,  # Any: what onnx takes for an attribute
    ) -> str:
        name = output or f"{self._found.node.output[0]}/{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [name], name, **attributes))
        return name

    def _constant(self, array: NDArray[Any] | np.generic) -> str:  # Any: of any type
        name = f"{self._found.node.output[0]}/constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

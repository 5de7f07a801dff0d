"""QDQ graphs written by hand for the tests of lowering, and what they give on ONNX Runtime before and after.

Their int8 weights are within -64..64, where no two products leave 16 bits: the stock runtime is exact on every CPU.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import ops, runtimes
from squeeze.graph import lower, to_bytes
from squeeze.note import Note

Array = NDArray[Any]  # Any: tests mix element types
Notes = list[Note]
_KINDS = {"uint8": TensorProto.UINT8, "int8": TensorProto.INT8, "float": TensorProto.FLOAT}


class Net:
    """Writes a graph node by node, from the float input "x" [batch, *shape]. Names of results are returned."""

    def __init__(self, *shape: int | str, opset: int = 18, ir_version: int = 9) -> None:
        self.shape, self.opset, self.ir_version = shape, opset, ir_version
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.rng = np.random.default_rng(0)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:  # Any: ONNX attributes
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], name=f"n_{name}", **attributes))
        return name

    def constant(self, value: Any) -> str:  # Any: an array or a number with a NumPy type
        name = f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def grid(self, scale: float, zero_point: int = 0, dtype: str = "uint8") -> tuple[str, str]:
        return self.constant(np.float32(scale)), self.constant(np.array(zero_point, dtype))

    def quantise(
        self, x: str, scale: float = 0.05, zero_point: int = 0, dtype: str = "uint8"
    ) -> str:
        """QuantizeLinear and DequantizeLinear."""
        grid = self.grid(scale, zero_point, dtype)
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, *grid), *grid)

    def integers(self, *shape: int) -> Array:
        return self.rng.integers(-64, 65, shape, dtype=np.int8)

    def few(self, *shape: int, levels: int = 4, own: bool = False) -> Array:
        """int8 weights that use `levels` different values, or as many of their `own` in each output channel."""
        sides = [self.rng.choice(np.arange(1, 65), levels // 2, False) for _ in range(shape[0])]
        books = np.array([[*side, *-side, *[0] * (levels % 2)] for side in sides])
        picked = self.rng.integers(0, levels, (shape[0], int(np.prod(shape[1:]))))
        picked[:, :levels] = np.arange(levels)  # each is used
        rows = np.arange(shape[0]) if own else np.zeros(shape[0], np.int64)
        return books[rows[:, None], picked].astype(np.int8).reshape(shape)

    def weights(self, integers: Array, scale: float = 0.00826, axis: int = 0) -> str:
        scales = np.full(integers.shape[axis], scale, np.float32)
        zeros = np.zeros(integers.shape[axis], np.int8)
        parts = [self.constant(v) for v in (integers, scales, zeros)]
        return self.add("DequantizeLinear", *parts, axis=axis)

    def bias(self, count: int, x_scale: float = 0.05, scale: float = 0.00826) -> str:
        steps = np.full(count, np.float32(x_scale) * np.float32(scale), np.float32)
        integers = self.rng.integers(-2000, 2000, count, dtype=np.int32)
        return self.add("DequantizeLinear", self.constant(integers), self.constant(steps), axis=0)

    def conv(
        self,
        x: str,
        outputs: int,
        inputs: int,
        kernel: tuple[int, ...] = (3, 3),
        integers: Array | None = None,
        **attributes: Any,  # Any: ONNX attributes
    ) -> str:
        """A convolution of a dequantised x, with int8 weights and an int32 bias, padded to keep its size."""
        group = attributes.get("group", 1)
        attributes.setdefault("pads", [k // 2 for k in kernel] * 2)
        if integers is None:
            integers = self.integers(outputs, inputs // group, *kernel)
        w = self.weights(integers)
        return self.add("Conv", x, w, self.bias(outputs), **attributes)

    def model(self, *results: str, kind: str = "float") -> ir.Model:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *self.shape])],
            [helper.make_tensor_value_info(name, _KINDS[kind], None) for name in results],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        proto = helper.make_model(graph, opset_imports=opsets, ir_version=self.ir_version)
        return ir.from_proto(proto)


def lowered(model: ir.Model) -> tuple[ir.Model, Counter[str], Notes]:
    """The lowered model, checked; how many nodes it has of each type; the notes."""
    result, notes = lower(model)
    onnx.checker.check_model(ir.to_proto(result))
    return result, Counter(node.op_type for node in result.graph), notes


def reasons(notes: Notes) -> list[str]:
    return [note.why.partition(": ")[2] for note in notes if not note.kept]


def outputs(
    model: ir.Model, x: Array, *, native: bool = False, optimise: bool = True
) -> list[Array]:
    session = runtimes.session(to_bytes(model), native=native, optimise=optimise)
    return [np.asarray(y) for y in session.run(None, {"x": x})]


def images(*shape: int, low: float = -2.0, high: float = 8.0) -> Array:
    return np.random.default_rng(7).uniform(low, high, shape).astype(np.float32)


def assert_same(
    model: ir.Model, result: ir.Model, x: Array, step: float, share: float = 0.05
) -> None:
    """Body, native (where the library is) and the plain graph are at most a step apart, a `share` of numbers."""
    wanted = outputs(model, x, optimise=False)
    assert all(len(np.unique(y)) > 10 for y in wanted)
    for native in (False, True) if ops.library_path() else (False,):
        for got, y in zip(outputs(result, x, native=native), wanted, strict=True):
            apart = np.abs(got.astype(np.float64) - y.astype(np.float64)) / step
            assert apart.max() <= 1.01
            assert np.mean(apart > 0.5) <= share


def fused(model: ir.Model, folder: Path) -> Counter[str]:
    """Operators that the stock runtime makes of a lowered model, without our library."""
    path = folder / "optimised.onnx"
    runtimes.session(to_bytes(model), native=False, optimised_path=path)
    return Counter(node.op_type for node in onnx.load(path).graph.node)

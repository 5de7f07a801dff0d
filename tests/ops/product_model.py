"""What QConv* and QGemm* tests share: one quantised product as data, its requantisation in NumPy, and its ONNX file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import ops
from squeeze.old_x86.emulation import emulated

OPSET = 18
Array = NDArray[Any]  # Any: tests mix element types
Values = dict[str, Any]  # Any: NumPy arrays and scalars of several types


# The function behind each lookup here, and the grid of its result.
HARD_SWISH = ops.Formula(
    (ops.Step("HardSigmoid", (0,), (("alpha", 1 / 6), ("beta", 0.5))), ops.Step("Mul", (0, 1)))
)
SWISH_SCALE, SWISH_ZERO_POINT = 0.03, 10


@dataclass(frozen=True)
class Product:
    """A product of x and int8 weights [o, ...], and what makes y of it; y has the type `y_type`.

    Names are those of QConv; QGemm calls x, w and conv otherwise.
    """

    x: Array
    w: Array
    bias: Array
    w_scale: Array
    x_scale: float = 0.02
    x_zero_point: int = 3
    y_scale: float = 0.05
    y_zero_point: int = 0
    residual: Array | None = None
    residual_scale: float = 0.03
    residual_zero_point: int = 7
    conv_scale: float = 0.04
    conv_zero_point: int = 120
    table: Array | None = None
    y_type: type = np.uint8
    overrides: Values = field(default_factory=dict)  # broken attributes and inputs

    @property
    def tail(self) -> str:
        if self.residual is not None:
            return "Add"
        return "" if self.table is None else "Lookup"

    def values(self) -> Values:
        """Every constant input by name, whether the op has it or not."""
        y, f32 = self.y_type, np.float32
        y_grid = self.y_scale, self.y_zero_point
        if self.table is not None:
            y_grid = SWISH_SCALE, SWISH_ZERO_POINT
        made = {
            "x_scale": f32(self.x_scale),
            "x_zero_point": self.x.dtype.type(self.x_zero_point),
            "w": self.w,
            "w_scale": self.w_scale,
            "bias": self.bias,
            "y_scale": f32(y_grid[0]),
            "y_zero_point": y(y_grid[1]),
            "conv_scale": f32(self.conv_scale),
            "conv_zero_point": y(self.conv_zero_point),
            "residual_scale": f32(self.residual_scale),
            "residual_zero_point": y(self.residual_zero_point),
            "table": self.table,
        }
        return {k: self.overrides.get(k, v) for k, v in made.items()}


Kind = TypeVar("Kind", bound=Product)


def of_seven_bits(case: Kind) -> Kind:
    """Weights within -64..63 and twice their scales: no two products leave 16 bits, so that every CPU is exact."""
    return replace(case, w=case.w // 2, w_scale=case.w_scale * 2, bias=case.bias // 2)


def full_range(rng: np.random.Generator, kind: type, shape: tuple[int, ...]) -> Array:
    limits = np.iinfo(kind)
    return rng.integers(limits.min, limits.max + 1, shape, dtype=kind)


def hard_swish_table(case: Product) -> Array:
    """y at every byte of the quantised product: real number, HardSwish, quantised again."""
    q = np.arange(256, dtype=np.uint8).view(case.y_type).astype(np.float64)
    real = (q - case.conv_zero_point) * case.conv_scale
    swish = real * np.clip(real / 6 + 0.5, 0, 1)
    limits = np.iinfo(case.y_type)
    y = np.clip(np.rint(swish / SWISH_SCALE) + SWISH_ZERO_POINT, limits.min, limits.max)
    return y.astype(case.y_type)


def finish(case: Product, accumulators: NDArray[np.int64], outputs_axis: int) -> Array:
    """y for the integer sums: float32 multiply, round half to even, saturate; then the residual or the table."""
    f32 = np.float32
    limits = np.iinfo(case.y_type)
    scale, zero_point = case.y_scale, case.y_zero_point
    if case.tail:
        scale, zero_point = case.conv_scale, case.conv_zero_point
    along = [1] * accumulators.ndim
    along[outputs_axis] = -1
    multiplier = (f32(case.x_scale) * case.w_scale / f32(scale)).reshape(along)
    scaled = accumulators.astype(np.int32).astype(f32) * multiplier
    y = np.clip(np.rint(scaled) + zero_point, limits.min, limits.max)
    if case.table is not None:
        found: Array = case.table[y.astype(case.y_type).view(np.uint8)]
        return found
    if case.residual is None:
        return y.astype(case.y_type)
    conv = (y - zero_point).astype(f32) * (f32(case.conv_scale) / f32(case.y_scale))
    shifted = case.residual.astype(f32) - f32(case.residual_zero_point)
    total = conv + shifted * (f32(case.residual_scale) / f32(case.y_scale))
    rounded = np.rint(total) + case.y_zero_point
    return np.clip(rounded, limits.min, limits.max).astype(case.y_type)


def file(
    op_type: str,
    names: tuple[str, ...],
    fed: dict[str, Array],
    y_type: type,
    values: Values,
    attributes: Values,
    *,
    body: bool,
    opset: int = OPSET,
    shapes: bool = False,
) -> bytes:
    """An ONNX file of one node called "the node"; dimensions are unknown unless `shapes`."""
    node = helper.make_node(op_type, names, ["y"], name="the node", domain=ops.DOMAIN, **attributes)
    element = {np.dtype(np.uint8): TensorProto.UINT8, np.dtype(np.int8): TensorProto.INT8}
    rank = next(iter(fed.values())).ndim
    inputs = [
        helper.make_tensor_value_info(
            n, element[a.dtype], list(a.shape) if shapes else [None] * a.ndim
        )
        for n, a in fed.items()
    ]
    graph = helper.make_graph(
        [node],
        "g",
        inputs,
        [helper.make_tensor_value_info("y", element[np.dtype(y_type)], [None] * rank)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items() if k in names],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ops.DOMAIN, ops.VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if body:
        model.functions.append(ir.to_proto(ops.body_of(op_type, ops.DOMAIN, opset, HARD_SWISH)))
        onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def session(
    model: bytes, *, native: bool, threads: int = 1, optimise: bool = True
) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if native:
        options.register_custom_ops_library(str(ops.library_path()))
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def assert_saturates_as_emulated(model: bytes, fed: dict[str, Array], folder: Path) -> None:
    """On an x86 CPU without VNNI: the optimised body gives the bytes that the emulation of such a CPU says."""
    path = folder / "model.onnx"
    path.write_bytes(model)
    y, wanted = (session(m, native=False).run(None, fed)[0] for m in (model, emulated(path).model))
    np.testing.assert_array_equal(y, wanted)

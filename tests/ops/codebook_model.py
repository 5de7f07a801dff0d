"""Models of one CodebookConv or CodebookGemm node for the tests, and what they compute, in NumPy float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import ops
from squeeze.ops import packing, qconv
from tests.ops.qconv_model import session

OPSET = 19
Array = NDArray[Any]  # Any: tests mix element types


@dataclass(frozen=True)
class Case:
    """x [n, c, h, w] or [n, c, w] and weights of rank 4 or 3 are a convolution, weights of rank 2 a product."""

    x: Array
    indices: NDArray[np.uint8]  # in the shape of the weights
    codebooks: NDArray[np.float32]
    bias: NDArray[np.float32]
    bits: int
    bucket: int
    group: int = 1
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    nhwc: bool = True
    overrides: dict[str, Any] = field(default_factory=dict)  # Any: broken attributes and inputs

    @property
    def is_product(self) -> bool:
        return self.indices.ndim == 2

    @property
    def op_type(self) -> str:
        return "CodebookGemm" if self.is_product else "CodebookConv"

    @property
    def weights(self) -> NDArray[np.float32]:
        book = np.arange(self.indices.size).reshape(self.indices.shape) // self.bucket
        return self.codebooks[book, self.indices]


def random_case(
    seed: int,
    shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    bits: int = 4,
    bucket: int | None = None,
    **settings: Any,  # Any: fields of Case
) -> Case:
    """Normal data; `bucket` is the weights of one output channel unless given."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(w_shape))
    bucket = bucket or count // w_shape[0]
    books = -(-count // bucket)
    return Case(
        x=rng.standard_normal(shape, np.float32),
        indices=rng.integers(0, 1 << bits, w_shape, dtype=np.uint8),
        codebooks=rng.standard_normal((books, 1 << bits), np.float32),
        bias=rng.standard_normal(w_shape[0], np.float32),
        bits=bits,
        bucket=bucket,
        **settings,
    )


def expected(case: Case) -> NDArray[np.float64]:
    """y, channels-first."""
    return _sum(case, case.x, case.weights, case.bias)


def size_of_sums(case: Case) -> NDArray[np.float64]:
    """sum |x * w| + |bias| for each value of y, to which rounding errors are in proportion."""
    return _sum(case, np.abs(case.x), np.abs(case.weights), np.abs(case.bias))


def _sum(case: Case, x: Array, w: Array, bias: Array) -> NDArray[np.float64]:
    x, w, bias = (v.astype(np.float64) for v in (x, w, bias))
    if case.is_product:
        product: NDArray[np.float64] = x @ w.T + bias
        return product
    dimensions = x.ndim - 2
    begin, end = case.pads[:dimensions], case.pads[dimensions:]
    x = np.pad(x, ((0, 0), (0, 0), *zip(begin, end, strict=True)))
    kernel = w.shape[2:]
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, case.dilations, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(2, x.ndim)))
    steps = tuple(slice(None, None, s) for s in case.strides)
    holes = tuple(slice(None, None, d) for d in case.dilations)
    windows = windows[(slice(None), slice(None), *steps, *holes)]
    windows = windows.reshape(len(x), case.group, -1, *windows.shape[2:])
    w = w.reshape(case.group, -1, *w.shape[1:])
    spatial, taps = "hw"[:dimensions], "kl"[:dimensions]
    y = np.einsum(f"ngc{spatial}{taps},goc{taps}->ngo{spatial}", windows, w, optimize=True)
    y = y.reshape(len(x), -1, *y.shape[3:])
    return y + bias.reshape(1, -1, *[1] * dimensions)


def perms(case: Case) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """x_perm and y_perm."""
    if case.x.ndim == 3:
        return (qconv.FROM_NWC, qconv.TO_NWC) if case.nhwc else (qconv.NCW, qconv.NCW)
    return (qconv.FROM_NHWC, qconv.TO_NHWC) if case.nhwc else (qconv.NCHW, qconv.NCHW)


def build(case: Case, *, body: bool = True, opset: int = OPSET) -> bytes:
    """An ONNX file with the node, images in the layout of `case`, and the function body unless told not to."""
    values: dict[str, Any] = {  # Any: NumPy arrays of several types
        "indices": packing.pack(case.indices, case.bits),
        "codebooks": case.codebooks,
        "bias": case.bias,
    }
    attributes: dict[str, Any] = {  # Any: integers and lists of them
        "w_shape": case.indices.shape,
        "bits": case.bits,
        "bucket": case.bucket,
    }
    names = ops.SIGNATURES[case.op_type].names
    if not case.is_product:
        attributes |= {
            "strides": case.strides,
            "pads": case.pads,
            "dilations": case.dilations,
            "group": case.group,
        }
        attributes["x_perm"], attributes["y_perm"] = perms(case)
    values = {k: case.overrides.get(k, v) for k, v in values.items()}
    attributes = {k: case.overrides.get(k, v) for k, v in attributes.items()}
    attributes = {k: v for k, v in attributes.items() if v is not None}
    node = helper.make_node(
        case.op_type, names, ["y"], name="the node", domain=ops.DOMAIN, **attributes
    )
    unknown = [None] * case.x.ndim
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(names[0], TensorProto.FLOAT, unknown)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, unknown)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(ops.DOMAIN, ops.VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if body:
        function = ops.FUNCTIONS[case.op_type](ops.DOMAIN, opset)
        model.functions.append(ir.to_proto(function))
        onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def feeds(case: Case) -> dict[str, Array]:
    """The input of the model in the layout of `case`."""
    if case.is_product:
        return {"a": case.x}
    return {"x": case.x.transpose(perms(case)[1])}


def channels_first(case: Case, y: Array) -> Array:
    """The output of the model, turned back."""
    return y if case.is_product else y.transpose(perms(case)[0])


def run(case: Case, *, native: bool, threads: int = 1) -> Array:
    """y, channels-first, whatever the layout of `case`. The native op runs without its body."""
    made = session(build(case, body=not native), native=native, threads=threads)
    return channels_first(case, made.run(None, feeds(case))[0])

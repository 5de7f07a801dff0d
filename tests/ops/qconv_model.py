"""Models of one QConv or QConvAdd node for the tests, and what they compute, in NumPy integers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from squeeze import ops
from squeeze.ops import qconv

OPSET = 18
Array = NDArray[Any]  # Any: tests mix element types


@dataclass(frozen=True)
class Case:
    """One convolution: x [n, c, h, w], w [o, c / group, kh, kw], residual and y [n, o, oh, ow]."""

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
    group: int = 1
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)
    nhwc: bool = True
    overrides: dict[str, Any] = field(default_factory=dict)  # Any: broken attributes and inputs

    @property
    def op_type(self) -> str:
        return "QConv" if self.residual is None else "QConvAdd"


def random_case(
    seed: int,
    shape: tuple[int, int, int, int],
    outputs: int,
    kernel: tuple[int, int] = (3, 3),
    *,
    residual: bool = False,
    **settings: Any,  # Any: fields of Case
) -> Case:
    """Full-range data whose outputs spread over 0..255."""
    rng = np.random.default_rng(seed)
    group = settings.get("group", 1)
    per_group = shape[1] // group
    w = rng.integers(-128, 128, (outputs, per_group, *kernel), dtype=np.int8)
    spread = np.sqrt(per_group * kernel[0] * kernel[1])
    case = Case(
        x=rng.integers(0, 256, shape, dtype=np.uint8),
        w=w,
        bias=rng.integers(-5000, 5000, outputs, dtype=np.int32),
        w_scale=(rng.uniform(0.5, 1.5, outputs) * 0.02 / spread).astype(np.float32),
        **settings,
    )
    if not residual:
        return case
    y = convolution(case).shape
    return replace(case, residual=rng.integers(0, 256, y, dtype=np.uint8))


def convolution(case: Case) -> NDArray[np.int64]:
    """The integer accumulators [n, o, oh, ow]."""
    top, left, bottom, right = case.pads
    x = case.x.astype(np.int64) - case.x_zero_point
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    outputs, per_group, kernel_h, kernel_w = case.w.shape
    (stride_h, stride_w), (dilation_h, dilation_w) = case.strides, case.dilations
    out_h = (x.shape[2] - (kernel_h - 1) * dilation_h - 1) // stride_h + 1
    out_w = (x.shape[3] - (kernel_w - 1) * dilation_w - 1) // stride_w + 1
    y = np.zeros((len(x), outputs, out_h, out_w), np.int64)
    for o in range(outputs):
        first = o // (outputs // case.group) * per_group
        for i in range(kernel_h):
            for j in range(kernel_w):
                rows = slice(i * dilation_h, i * dilation_h + (out_h - 1) * stride_h + 1, stride_h)
                columns = slice(
                    j * dilation_w, j * dilation_w + (out_w - 1) * stride_w + 1, stride_w
                )
                patch = x[:, first : first + per_group, rows, columns]
                y[:, o] += np.einsum("nchw,c->nhw", patch, case.w[o, :, i, j].astype(np.int64))
    return y + case.bias[None, :, None, None]


def expected(case: Case) -> Array:
    """What the op has to give, [n, o, oh, ow]: float32 multiply, round half to even, saturate."""
    scale, zero_point = case.y_scale, case.y_zero_point
    if case.residual is not None:
        scale, zero_point = case.conv_scale, case.conv_zero_point
    f32 = np.float32
    multiplier = f32(case.x_scale) * case.w_scale / f32(scale)
    scaled = convolution(case).astype(np.int32).astype(f32) * multiplier[None, :, None, None]
    y = np.clip(np.rint(scaled) + zero_point, 0, 255)
    if case.residual is None:
        return y.astype(np.uint8)
    conv = (y - zero_point).astype(f32) * (f32(case.conv_scale) / f32(case.y_scale))
    shifted = case.residual.astype(f32) - f32(case.residual_zero_point)
    total = conv + shifted * (f32(case.residual_scale) / f32(case.y_scale))
    return np.clip(np.rint(total) + case.y_zero_point, 0, 255).astype(np.uint8)


def build(case: Case, *, body: bool = True) -> bytes:
    """An ONNX file with the node, images in the layout of `case`, and the function body unless told not to."""
    values: dict[str, Any] = {  # Any: NumPy arrays of several types
        "x_scale": np.float32(case.x_scale),
        "x_zero_point": np.uint8(case.x_zero_point),
        "w": case.w,
        "w_scale": case.w_scale,
        "bias": case.bias,
        "y_scale": np.float32(case.y_scale),
        "y_zero_point": np.uint8(case.y_zero_point),
        "conv_scale": np.float32(case.conv_scale),
        "conv_zero_point": np.uint8(case.conv_zero_point),
        "residual_scale": np.float32(case.residual_scale),
        "residual_zero_point": np.uint8(case.residual_zero_point),
    }
    values = {k: case.overrides.get(k, v) for k, v in values.items()}
    names = qconv.QCONV_INPUTS if case.residual is None else qconv.QCONV_ADD_INPUTS
    attributes: dict[str, Any] = {  # Any: integers and lists of them
        "strides": case.strides,
        "pads": case.pads,
        "dilations": case.dilations,
        "group": case.group,
        "x_perm": qconv.FROM_NHWC if case.nhwc else qconv.NCHW,
        "y_perm": qconv.TO_NHWC if case.nhwc else qconv.NCHW,
    }
    attributes = {k: case.overrides.get(k, v) for k, v in attributes.items()}
    attributes = {k: v for k, v in attributes.items() if v is not None}
    images = [n for n in names if n in ("x", "residual")]
    node = helper.make_node(
        case.op_type, names, ["y"], name="the node", domain=ops.DOMAIN, **attributes
    )
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.UINT8, [None] * 4) for n in images],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [None] * 4)],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items() if k in names],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ops.DOMAIN, ops.VERSION)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if body:
        make = qconv.qconv if case.residual is None else qconv.qconv_add
        model.functions.append(ir.to_proto(make(ops.DOMAIN, OPSET)))
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


def run(case: Case, *, native: bool, threads: int = 1, optimise: bool = True) -> Array:
    """y as [n, o, oh, ow], whatever the layout of `case`. The native op runs without its body."""
    perm = qconv.TO_NHWC if case.nhwc else qconv.NCHW
    feeds = {"x": case.x.transpose(perm)}
    if case.residual is not None:
        feeds["residual"] = case.residual.transpose(perm)
    made = session(build(case, body=not native), native=native, threads=threads, optimise=optimise)
    y: Array = made.run(None, feeds)[0]
    return y.transpose(qconv.FROM_NHWC) if case.nhwc else y

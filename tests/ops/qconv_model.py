"""Models of one QConv, QConvAdd or QConvLookup node for the tests, and what they compute, in NumPy integers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from squeeze import ops
from squeeze.ops import qconv
from tests.ops.product_model import OPSET, Array, Product, file, finish, full_range, session
from tests.ops.product_model import hard_swish_table as hard_swish_table


@dataclass(frozen=True)
class Case(Product):
    """One convolution: x [n, c, (h,) w], w [o, c / group, (kh,) kw], residual and y [n, o, (oh,) ow]."""

    group: int = 1
    strides: tuple[int, ...] = (1, 1)
    pads: tuple[int, ...] = (0, 0, 0, 0)
    dilations: tuple[int, ...] = (1, 1)
    nhwc: bool = True

    @property
    def op_type(self) -> str:
        return f"QConv{self.tail}"

    @property
    def from_last(self) -> tuple[int, ...]:
        """Brings a channels-last tensor of this rank to channels-first."""
        return qconv.FROM_NHWC if self.x.ndim == 4 else qconv.FROM_NWC

    @property
    def to_last(self) -> tuple[int, ...]:
        return qconv.TO_NHWC if self.x.ndim == 4 else qconv.TO_NWC

    def laid_out(self, tensor: Array) -> Array:
        return tensor.transpose(self.to_last) if self.nhwc else tensor

    def feeds(self) -> dict[str, Array]:
        fed = {"x": self.laid_out(self.x)}
        if self.residual is not None:
            fed["residual"] = self.laid_out(self.residual)
        return fed


def random_case(
    seed: int,
    shape: tuple[int, ...],
    outputs: int,
    kernel: tuple[int, ...] = (3, 3),
    *,
    residual: bool = False,
    lookup: bool = False,
    x_type: type = np.uint8,
    **settings: Any,  # Any: fields of Case
) -> Case:
    """Full-range data whose outputs spread over the range of their type."""
    rng = np.random.default_rng(seed)
    group = settings.get("group", 1)
    per_group = shape[1] // group
    w = rng.integers(-128, 128, (outputs, per_group, *kernel), dtype=np.int8)
    spread = np.sqrt(per_group * np.prod(kernel))
    if len(kernel) == 1:
        settings = {"strides": (1,), "pads": (0, 0), "dilations": (1,), **settings}
    case = Case(
        x=full_range(rng, x_type, shape),
        w=w,
        bias=rng.integers(-5000, 5000, outputs, dtype=np.int32),
        w_scale=(rng.uniform(0.5, 1.5, outputs) * 0.02 / spread).astype(np.float32),
        **settings,
    )
    if lookup:
        return replace(case, table=hard_swish_table(case))
    if not residual:
        return case
    return replace(case, residual=full_range(rng, case.y_type, convolution(case).shape))


def convolution(case: Case) -> NDArray[np.int64]:
    """The integer accumulators, in the shape of y."""
    if case.x.ndim == 3:
        image = replace(
            case,
            x=case.x[:, :, None],
            w=case.w[:, :, None],
            strides=(1, *case.strides),
            dilations=(1, *case.dilations),
            pads=(0, case.pads[0], 0, case.pads[1]),
        )
        return convolution(image)[:, :, 0]
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
    """What the op has to give, channels-first."""
    return finish(case, convolution(case), outputs_axis=1)


def build(case: Case, *, body: bool = True, opset: int = OPSET) -> bytes:
    """An ONNX file with the node, images in the layout of `case`, and the function body unless told not to."""
    first = tuple(range(case.x.ndim))
    attributes: dict[str, Any] = {  # Any: integers and lists of them
        "strides": case.strides,
        "pads": case.pads,
        "dilations": case.dilations,
        "group": case.group,
        "x_perm": case.from_last if case.nhwc else first,
        "y_perm": case.to_last if case.nhwc else first,
    }
    attributes = {k: case.overrides.get(k, v) for k, v in attributes.items()}
    attributes = {k: v for k, v in attributes.items() if v is not None}
    names = ops.SIGNATURES[case.op_type].names
    return file(
        case.op_type,
        names,
        case.feeds(),
        case.y_type,
        case.values(),
        attributes,
        body=body,
        opset=opset,
    )


def run(case: Case, *, native: bool, threads: int = 1, optimise: bool = True) -> Array:
    """y channels-first, whatever the layout of `case`. The native op runs without its body."""
    made = session(build(case, body=not native), native=native, threads=threads, optimise=optimise)
    y: Array = made.run(None, case.feeds())[0]
    return y.transpose(case.from_last) if case.nhwc else y

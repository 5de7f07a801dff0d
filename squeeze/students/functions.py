"""What ONNX operators without weights compute, in torch: attributes of the node and its tensors in, tensor out.

Inputs that ONNX wants as tensors but that are constants (axes, shapes, limits) are attributes here; `export.from_ir`
names them.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from squeeze.students.activations import ACTIVATIONS, Attributes, Function


def padded(x: Tensor, begins: Sequence[int], ends: Sequence[int], value: float) -> Tensor:
    """`x` with constant borders on its last len(begins) dimensions."""
    sides = [s for pair in zip(begins[::-1], ends[::-1], strict=True) for s in pair]
    return functional.pad(x, sides, value=value) if any(sides) else x


def _clip(a: Attributes, x: list[Tensor]) -> Tensor:
    return x[0].clamp(a.get("min"), a.get("max"))


def _pool(a: Attributes, x: Tensor, *, largest: bool) -> Tensor:
    kernel: list[int] = a["kernel_shape"]
    dims = len(kernel)
    strides = a.get("strides") or [1] * dims
    pads = a.get("pads") or [0] * 2 * dims
    begins, ends = pads[:dims], pads[dims:]
    ceil = bool(a.get("ceil_mode", 0))
    # torch pads both ends alike, and then leaves out windows that begin in the border, as ONNX does.
    native = begins == ends and all(2 * b <= k for b, k in zip(begins, kernel, strict=True))
    if largest:
        pool = functional.max_pool1d if dims == 1 else functional.max_pool2d
        dilations = a.get("dilations") or [1] * dims
        if native:
            return pool(x, kernel, strides, begins, dilations, ceil_mode=ceil)
        x = padded(x, begins, ends, -math.inf)
        return pool(x, kernel, strides, 0, dilations, ceil_mode=ceil)
    average = functional.avg_pool1d if dims == 1 else functional.avg_pool2d
    if native:
        return average(x, kernel, strides, begins, ceil, bool(a.get("count_include_pad", 0)))
    summed = average(padded(x, begins, ends, 0.0), kernel, strides)
    if a.get("count_include_pad", 0):
        return summed
    ones = padded(torch.ones_like(x[:1, :1]), begins, ends, 0.0)
    return summed / average(ones, kernel, strides)


def _reduce(a: Attributes, x: Tensor, reduce: Callable[..., Tensor]) -> Tensor:
    if not a.get("axes") and a.get("noop_with_empty_axes", 0):
        return x
    axes = a.get("axes") or list(range(x.ndim))
    return reduce(x, dim=axes, keepdim=bool(a.get("keepdims", 1)))


def _reshape(a: Attributes, x: list[Tensor]) -> Tensor:
    value, wanted = x[0], list(a["shape"])
    if not a.get("allowzero", 0):
        wanted = [value.shape[i] if d == 0 else d for i, d in enumerate(wanted)]
    return value.reshape(wanted)


def _slice(a: Attributes, x: list[Tensor]) -> Tensor:
    value = x[0]
    starts, ends = a["starts"], a["ends"]
    axes = a.get("axes") or list(range(len(starts)))
    steps = a.get("steps") or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        picked = range(value.shape[axis])[slice(start, end, step)]
        if step > 0:
            value = value[(slice(None),) * (axis % value.ndim) + (slice(start, end, step),)]
        else:
            value = value.index_select(axis, torch.tensor(list(picked), device=value.device))
    return value


def _split(a: Attributes, x: list[Tensor]) -> tuple[Tensor, ...]:
    axis = a.get("axis", 0)
    sizes = a.get("split")
    if sizes is None:
        count = int(a["num_outputs"])
        sizes = -(-x[0].shape[axis] // count)
    return tuple(torch.split(x[0], sizes, dim=axis))


def _pad(a: Attributes, x: list[Tensor]) -> Tensor:
    value, pads = x[0], a["pads"]
    axes = a.get("axes") or list(range(value.ndim))
    begins, ends = [0] * value.ndim, [0] * value.ndim
    for i, axis in enumerate(axes):
        begins[axis], ends[axis] = pads[i], pads[len(axes) + i]
    return padded(value, begins, ends, float(a.get("value") or 0.0))


def _squeeze(a: Attributes, x: list[Tensor]) -> Tensor:
    axes = a.get("axes")
    return x[0].squeeze() if axes is None else x[0].squeeze(tuple(axes))


def _unsqueeze(a: Attributes, x: list[Tensor]) -> Tensor:
    value = x[0]
    dims = value.ndim + len(a["axes"])
    for axis in sorted(axis % dims for axis in a["axes"]):
        value = value.unsqueeze(axis)
    return value


def _resize(a: Attributes, x: list[Tensor]) -> Tensor:
    linear = a.get("mode", "nearest") == "linear"
    mode = {3: "linear", 4: "bilinear"}[x[0].ndim] if linear else "nearest"
    corners = a.get("coordinate_transformation_mode") == "align_corners" if linear else None
    scales = a.get("scales")
    size = None if scales else tuple(a["sizes"][2:])
    factors = tuple(scales[2:]) if scales else None
    return functional.interpolate(x[0], size, factors, mode, corners)


def _depth_to_space(a: Attributes, x: list[Tensor]) -> Tensor:
    n, c, h, w = x[0].shape
    b = a["blocksize"]
    if a.get("mode", "DCR") == "CRD":
        return functional.pixel_shuffle(x[0], b)
    parts = x[0].reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    return parts.reshape(n, c // (b * b), h * b, w * b)


def _space_to_depth(a: Attributes, x: list[Tensor]) -> Tensor:
    n, c, h, w = x[0].shape
    b = a["blocksize"]
    parts = x[0].reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return parts.reshape(n, c * b * b, h // b, w // b)


def _instance_norm(a: Attributes, x: list[Tensor]) -> Tensor:
    value, gain, shift = x
    return functional.instance_norm(value, weight=gain, bias=shift, eps=a.get("epsilon", 1e-5))


def _lrn(a: Attributes, x: list[Tensor]) -> Tensor:
    # Windows are of odd sizes in the runtime; torch, too, divides alpha by them.
    alpha, beta, bias = a.get("alpha", 1e-4), a.get("beta", 0.75), a.get("bias", 1.0)
    return functional.local_response_norm(x[0], a["size"], alpha, beta, bias)


def _sum(x: list[Tensor]) -> Tensor:
    return functools.reduce(torch.add, x)


def _div(a: Attributes, x: list[Tensor]) -> Tensor:
    whole = not (x[0].is_floating_point() or x[1].is_floating_point())
    return torch.div(x[0], x[1], rounding_mode="trunc" if whole else None)


FUNCTIONS: dict[str, Function] = {
    **ACTIVATIONS,
    "Abs": lambda a, x: x[0].abs(),
    "Add": lambda a, x: x[0] + x[1],
    "AveragePool": lambda a, x: _pool(a, x[0], largest=False),
    "Clip": _clip,
    "Concat": lambda a, x: torch.cat(x, a["axis"]),
    "DepthToSpace": _depth_to_space,
    "Div": _div,
    "Dropout": lambda a, x: x[0],
    "Exp": lambda a, x: x[0].exp(),
    "Flatten": lambda a, x: x[0].flatten(1) if a.get("axis", 1) == 1 else _flatten(a, x[0]),
    "GlobalAveragePool": lambda a, x: x[0].mean(tuple(range(2, x[0].ndim)), keepdim=True),
    "GlobalMaxPool": lambda a, x: x[0].amax(tuple(range(2, x[0].ndim)), keepdim=True),
    "Identity": lambda a, x: x[0],
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "Log": lambda a, x: x[0].log(),
    "MatMul": lambda a, x: x[0] @ x[1],
    "Max": lambda a, x: functools.reduce(torch.maximum, x),
    "MaxPool": lambda a, x: _pool(a, x[0], largest=True),
    "Mean": lambda a, x: _sum(x) / len(x),
    "Min": lambda a, x: functools.reduce(torch.minimum, x),
    "Mul": lambda a, x: x[0] * x[1],
    "Neg": lambda a, x: -x[0],
    "Pad": _pad,
    "Pow": lambda a, x: x[0] ** x[1],
    "Reciprocal": lambda a, x: x[0].reciprocal(),
    "ReduceL2": lambda a, x: _reduce(a, x[0], torch.linalg.vector_norm),
    "ReduceMax": lambda a, x: _reduce(a, x[0], torch.amax),
    "ReduceMean": lambda a, x: _reduce(a, x[0], torch.mean),
    "ReduceMin": lambda a, x: _reduce(a, x[0], torch.amin),
    "ReduceSum": lambda a, x: _reduce(a, x[0], torch.sum),
    "Reshape": _reshape,
    "Resize": _resize,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Sqrt": lambda a, x: x[0].sqrt(),
    "Squeeze": _squeeze,
    "Sub": lambda a, x: x[0] - x[1],
    "Sum": lambda a, x: _sum(x),
    "Transpose": lambda a, x: x[0].permute(a.get("perm") or list(range(x[0].ndim))[::-1]),
    "Unsqueeze": _unsqueeze,
}


def _flatten(a: Attributes, x: Tensor) -> Tensor:
    axis = a["axis"] + (x.ndim if a["axis"] < 0 else 0)  # ndim itself is allowed
    return x.reshape(math.prod(x.shape[:axis]), -1)

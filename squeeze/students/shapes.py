"""What ONNX operators on sizes, indices and conditions compute, in torch: what transformers make masks and places of.

As in `functions`. Sizes are on the CPU, where what is made of them stays until it meets values of the network.
"""

from __future__ import annotations

import torch
from torch import Tensor

from squeeze.students.activations import Attributes, Function

# ONNX's numbers of element types.
_TYPES = {
    1: torch.float32,
    6: torch.int32,
    7: torch.int64,
    9: torch.bool,
    10: torch.float32,  # of half precision are files that were made float32
    11: torch.float64,
}
# They read numbers of what is on the CPU, and never put it beside other values.
_SIZES_ALONE = ("ConstantOfShape", "Expand", "Range", "Reshape", "Shape", "Slice", "Tile")


def arranged(op: str, a: Attributes, x: list[Tensor]) -> tuple[Attributes, list[Tensor]]:
    """Attributes and tensors of a node, its computed sizes among the attributes; tensors of sizes are on the device of
    the others that they meet."""
    if names := a.get("computed"):
        x, sizes = x[: len(x) - len(names)], x[len(x) - len(names) :]
        a = {**a, **{name: s.tolist() for name, s in zip(names, sizes, strict=True)}}
    if op not in _SIZES_ALONE and len({t.device for t in x}) > 1:
        device = next(t.device for t in x if t.device.type != "cpu")
        x = [t.to(device) for t in x]
    return a, x


def _constant(a: Attributes, x: list[Tensor]) -> Tensor:
    return torch.tensor(a["value"], dtype=getattr(torch, a["type"])).reshape(a["shape"])


def _constant_of_shape(a: Attributes, x: list[Tensor]) -> Tensor:
    return torch.full(a["shape"], a["value"], dtype=getattr(torch, a["type"]))


def _expand(a: Attributes, x: list[Tensor]) -> Tensor:
    # Both shapes may be the longer or the wider one.
    wide = torch.broadcast_shapes(x[0].shape, tuple(a["shape"]))  # type: ignore[no-untyped-call]
    return x[0].expand(wide)


def _gather(a: Attributes, x: list[Tensor]) -> Tensor:
    value, index = x
    axis = a.get("axis", 0) % value.ndim
    size = value.shape[axis]
    places = torch.where(index < 0, index + size, index)
    picked = value.index_select(axis, places.reshape(-1))
    return picked.reshape(*value.shape[:axis], *index.shape, *value.shape[axis + 1 :])


def _cum_sum(a: Attributes, x: list[Tensor]) -> Tensor:
    axis = a["axis"] if isinstance(a["axis"], int) else a["axis"][0]
    value = x[0].flip(axis) if a.get("reverse", 0) else x[0]
    found = value.cumsum(axis)
    if a.get("exclusive", 0):
        found = found - value
    return (found.flip(axis) if a.get("reverse", 0) else found).to(x[0].dtype)


def _shape(a: Attributes, x: list[Tensor]) -> Tensor:
    sizes = list(x[0].shape)[a.get("start", 0) : a.get("end")]
    return torch.tensor(sizes, dtype=torch.int64)


def _trilu(a: Attributes, x: list[Tensor]) -> Tensor:
    cut = torch.triu if a.get("upper", 1) else torch.tril
    return cut(x[0], a.get("k", 0))


FUNCTIONS: dict[str, Function] = {
    "And": lambda a, x: x[0] & x[1],
    "ArgMax": lambda a, x: x[0].argmax(a.get("axis", 0), keepdim=bool(a.get("keepdims", 1))),
    "Cast": lambda a, x: x[0].to(_TYPES[a["to"]]),
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "CumSum": _cum_sum,
    "Equal": lambda a, x: x[0] == x[1],
    "Expand": _expand,
    "Gather": _gather,
    "Greater": lambda a, x: x[0] > x[1],
    "GreaterOrEqual": lambda a, x: x[0] >= x[1],
    "IsNaN": lambda a, x: x[0].isnan(),
    "Less": lambda a, x: x[0] < x[1],
    "LessOrEqual": lambda a, x: x[0] <= x[1],
    "Not": lambda a, x: ~x[0],
    "Or": lambda a, x: x[0] | x[1],
    "Range": lambda a, x: torch.arange(a["start"], a["limit"], a["delta"]),
    "Shape": _shape,
    "Tile": lambda a, x: x[0].repeat(a["repeats"]),
    "Trilu": _trilu,
    "Where": lambda a, x: torch.where(x[0].bool(), x[1], x[2]),
}

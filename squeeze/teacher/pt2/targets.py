"""Which functions the graph of a .pt2 archive may name; torch resolves the names with getattr and calls what it finds.

Allowed: `torch.ops.aten` operators that give tensors or sizes, arithmetic on sizes, and two blocks that hold a nested
graph. Refused: operators that touch files (`aten.save`, `aten.from_file`), operators of other libraries, and every
other Python function.
"""

from __future__ import annotations

import re

import torch

from squeeze.errors import ConfigError, UnsupportedError

_ATEN = re.compile(r"torch\.ops\.aten\.((?!__)[A-Za-z]\w*|_(?!_)\w+)\.((?!__)\w+)")
_OTHER_LIBRARY = re.compile(r"torch\.ops\.(?!aten\.)(\w+)\.\w+(\.\w+)?")
_SIZES = {
    "_operator": (
        "add and_ eq floordiv ge gt le lshift lt mod mul ne neg or_ pos pow rshift sub truediv"
    ),
    "math": "ceil floor trunc",
    "torch": ("sym_float sym_fresh_size sym_int sym_ite sym_max sym_min sym_not sym_sqrt sym_sum"),
}
_PLAIN = {f"{module}.{name}" for module, names in _SIZES.items() for name in names.split()}
_BLOCKS = {
    "torch.ops.higher_order.wrap_with_autocast",
    "torch.ops.higher_order.wrap_with_set_grad_enabled",
}
_RESULTS = {"Tensor", "List[Tensor]", "bool", "float", "int", "number"}
# Checks and hints that return nothing.
_SILENT = {"_assert_async", "_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range"}
_SILENT |= {"sym_constrain_range_for_size"}
# What text arguments say; a file's name is not among them.
_TEXTS = {
    "UPLO",
    "approximate",
    "assert_msg",
    "driver",
    "equation",
    "indexing",
    "interpolation",
    "mode",
    "norm",
    "ord",
    "p",
    "pad_mode",
    "padding",
    "padding_side",
    "reduce",
    "rounding_mode",
    "side",
}


def check_target(target: str, where: str) -> None:
    """Raises ConfigError for a name that may run code, UnsupportedError for an operator of another library."""
    if target in _PLAIN or target in _BLOCKS:
        return
    if match := _ATEN.fullmatch(target):
        if _is_tensor_function(*match.groups()):
            return
    elif match := _OTHER_LIBRARY.fullmatch(target):
        raise UnsupportedError(
            f"{where}: operator {target} is of library '{match[1]}'; allowed: torch.ops.aten. "
            "Export a model that uses PyTorch's own operators"
        )
    raise ConfigError(
        f"{where}: the graph calls {target[:80]!r}, which is not a tensor operator, so the archive is not opened; "
        "allowed: torch.ops.aten and arithmetic on sizes"
    )


def _is_tensor_function(name: str, overload: str) -> bool:
    packet = getattr(torch.ops.aten, name, None)
    if not isinstance(packet, torch._ops.OpOverloadPacket):
        return False
    operator = getattr(packet, overload, None)
    if not isinstance(operator, torch._ops.OpOverload):
        return False
    schema = operator._schema
    results = [str(r.type) for r in schema.returns]
    texts = {a.name for a in schema.arguments if "str" in str(a.type)}
    known = bool(results) or name in _SILENT
    return known and set(results) <= _RESULTS and texts <= _TEXTS

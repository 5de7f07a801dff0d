"""What the program of a .pt2 archive takes and gives, read as data: names, types, sizes.

Types are those of the user's model, before everything becomes float32. Keys of outputs come from the archive's own
description of them, which is read as JSON here and never handed to torch.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import deserialize_scalar_type

from squeeze.end import End, Size
from squeeze.errors import UnsupportedError
from squeeze.teacher.outputs import Path, output_names
from squeeze.teacher.pt2.schema import Json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path as File

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,100}")
_SYMBOL = re.compile(r"(?:Symbol\(')?([A-Za-z_]{1,8}\d{1,6})(?:'.*\))?")
_DEEPEST = 8
_NOT_NUMPY = {torch.bfloat16: "float32"}


@dataclass(frozen=True)
class Signature:
    """Inputs in order. outputs: in the program's order, None for those that are nothing."""

    inputs: tuple[End, ...]
    outputs: tuple[End | None, ...]
    narrowed: tuple[str, ...]


def read_signature(path: File, program: Json, stored: Json) -> Signature:
    """program: checked and cleaned, stored: the same as it lies in the archive.

    Raises UnsupportedError for what is no tensor of numbers, and for models that were exported in training mode.
    """
    graph, signature = (program["graph_module"][k] for k in ("graph", "signature"))
    specs = signature["input_specs"]
    kinds = {kind for s in specs for kind in s}
    if (custom := kinds & {"custom_obj", "token"}) or graph.get("custom_obj_values"):
        raise UnsupportedError(
            f"{path}: the program takes a {', '.join(custom) or 'custom_obj'} (a Python object); "
            "export a model of plain tensors"
        )
    _check_mode(path, graph, signature)
    inputs = [_name(s["user_input"]) for s in specs if "user_input" in s]
    given = [s["user_output"] for s in signature["output_specs"] if "user_output" in s]
    outputs = [None if s["arg"].get("as_none") else _name(s) for s in given]
    extra = sorted(kinds & {"constant_input"})
    values, types = graph["tensor_values"], stored["graph_module"]["graph"]["tensor_values"]
    kept = [o for o in outputs if o is not None]
    if not inputs or not kept or extra or any(n not in values for n in (*inputs, *kept)):
        raise UnsupportedError(
            f"{path}: inputs {', '.join([*inputs, *extra]) or 'none'}, outputs {', '.join(kept) or 'none'}; "
            "allowed: one or more tensors each. Wrap the model in a module of tensors"
        )
    taken = tuple(_declared(path, n, n, values, types) for n in inputs)
    paths = [p for p, o in zip(_paths(stored, len(outputs)), outputs, strict=True) if o is not None]
    names = iter(output_names(paths, inputs))
    gives = tuple(
        None if o is None else _declared(path, next(names), o, values, types) for o in outputs
    )
    told = [("input", n, n) for n in inputs] + [
        ("output", d.name, o) for d, o in zip(gives, outputs, strict=True) if d and o
    ]
    narrowed = tuple(
        f"{role} '{name}': bfloat16 -> float32"
        for role, name, value in told
        if _type(types[value]) is torch.bfloat16
    )
    return Signature(taken, gives, narrowed)


def _check_mode(path: File, graph: Json, signature: Json) -> None:
    changed = [
        next(iter(s.values())).get("buffer_name", kind)
        for s in signature["output_specs"]
        for kind in s
        if kind != "user_output"
    ]
    if changed or _trains(graph):
        what = f"it changes {', '.join(changed[:3])}" if changed else "dropout or batch norm is on"
        raise UnsupportedError(
            f"{path}: exported in training mode ({what}); call model.eval() before torch.export.export"
        )


def _trains(graph: Json) -> bool:
    """Whether a dropout or a normalisation is told to behave as in training."""
    return any(
        argument["name"] in {"train", "training"} and argument["arg"].get("as_bool") is True
        for node in graph["nodes"]
        for argument in node["inputs"]
    )


def _name(spec: Json) -> str:
    ((kind, value),) = spec["arg"].items()
    found: Any = value.get("name", value.get("as_name")) if isinstance(value, dict) else None
    return str(found or kind)


def _declared(path: File, name: str, value: str, values: Json, types: Json) -> End:
    dtype = _type(types[value])
    known = _NOT_NUMPY.get(dtype, str(dtype).removeprefix("torch."))
    if dtype.is_complex or not hasattr(torch.zeros((), dtype=dtype), "numpy") or "float8" in known:
        raise UnsupportedError(f"{path}: '{name}' is {known}; allowed: floats, integers and bool")
    return End(name, known, tuple(map(_size, values[value]["sizes"])))


def _type(value: Json) -> torch.dtype:
    return deserialize_scalar_type(schema.ScalarType(value["dtype"]))


def _size(size: Json) -> Size:
    if "as_int" in size:
        return int(size["as_int"])
    found = _SYMBOL.fullmatch(size.get("as_expr", {}).get("expr_str", ""))
    return found[1] if found else ""


def _paths(stored: Json, count: int) -> list[Path]:
    """Where each output is in what the model returned; plain numbers where the archive does not say it clearly."""
    plain: list[Path] = [(i,) for i in range(count)]
    try:
        entry = next(e for e in stored["graph_module"]["module_call_graph"] if e["fqn"] == "")
        _, root = json.loads(entry["signature"]["out_spec"])
        found = list(_places(root, ()))
    except (LookupError, StopIteration, TypeError, ValueError, RecursionError):
        return plain
    return found if len(found) == count else plain


def _places(spec: Any, path: Path) -> list[Path]:  # Any: JSON of the archive
    children = spec["children_spec"]
    if spec["type"] is None:
        return [path]
    if len(path) >= _DEEPEST:
        raise ValueError("too deep")
    keys: Sequence[str | int] = _keys(spec["context"], len(children)) or range(len(children))
    return [
        place
        for key, child in zip(keys, children, strict=True)
        for place in _places(child, (*path, key))
    ]


def _keys(context: Any, count: int) -> list[str] | None:  # Any: JSON of the archive
    """The keys of a dict or the fields of a dataclass."""
    try:
        found = json.loads(context)
    except (TypeError, ValueError):
        return None
    if not isinstance(found, list) or len(found) != count:
        return None
    keys = [k for k in found if isinstance(k, str) and _KEY.fullmatch(k)]
    return keys if len(keys) == count else None

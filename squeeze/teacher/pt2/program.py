"""A torch.export archive -> a torch module, without running anything that the archive holds.

torch's own loader unpickles some payloads, evaluates symbolic sizes, resolves names with getattr, and compiles guards
to Python. Here the archive is opened by `teacher_archive`, its program checked and cleaned by `teacher_schema`, its
tensors made by `teacher_payload`; torch's deserialiser gets clean values and never the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import (
    ExportedProgramDeserializer,
    _dict_to_dataclass,
    deserialize_scalar_type,
)
from torch._export.verifier import SpecViolationError

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export.quiet import quiet
from squeeze.teacher.pt2.archive import PROGRAM, open_archive
from squeeze.teacher.pt2.payload import read_payload
from squeeze.teacher.pt2.schema import Json, conform, read_json

if TYPE_CHECKING:
    from pathlib import Path

# What torch raises for a program that it cannot rebuild; there is no common base class.
TORCH_ERRORS = (
    SpecViolationError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)
_LEAF = '{"type": null, "context": null, "children_spec": []}'
_ONE_ARGUMENT = (
    '[1, {"type": "builtins.tuple", "context": "null", "children_spec": ['
    f'{{"type": "builtins.tuple", "context": "null", "children_spec": [{_LEAF}]}}, '
    '{"type": "builtins.dict", "context": "[]", "children_spec": []}]}]'
)


@dataclass(frozen=True)
class Program:
    """A rebuilt module and what it was exported for: `shape` with the batch, None where a size may vary."""

    module: torch.nn.Module
    input_name: str
    dtype: str
    shape: tuple[int | None, ...]


def read_program(path: Path) -> Program:
    """Rebuilds the module of a .pt2 archive in float32 on the CPU.

    Raises ConfigError for damaged, altered or unsafe archives; UnsupportedError for several inputs or outputs,
    operators of other libraries, and models exported in training mode.
    """
    archive = open_archive(path)
    where = f"{path}: {PROGRAM}"
    program = conform(schema.ExportedProgram, read_json(archive.read(PROGRAM), where), where)
    name, value = _interface(path, program)
    program["graph_module"]["module_call_graph"] = [
        {
            "fqn": "",
            "signature": {
                "inputs": [],
                "outputs": [],
                "in_spec": _ONE_ARGUMENT,
                "out_spec": f"[1, {_LEAF}]",
                "forward_arg_names": [name],
            },
        }
    ]
    weights, constants = (read_payload(archive, f) for f in ("weights", "constants"))
    try:
        with quiet():
            # torch leaves it untyped.
            parsed = _dict_to_dataclass(schema.ExportedProgram, program)  # type: ignore[no-untyped-call]
            rebuilt = ExportedProgramDeserializer().deserialize(parsed, weights, constants, b"")
            module = rebuilt.module(check_guards=False)
    except TORCH_ERRORS as e:
        raise ConfigError(
            f"{path}: torch {torch.__version__} cannot rebuild the program: {_reason(e)}; "
            "save it again with torch.export.save"
        ) from e
    # They compare with the sizes of the example it was exported with; whether others work is tried and measured.
    module._forward_pre_hooks.clear()
    shape = tuple(d.get("as_int") for d in value["sizes"])
    dtype = deserialize_scalar_type(schema.ScalarType(value["dtype"]))
    return Program(module, name, str(dtype).removeprefix("torch."), shape)


def _interface(path: Path, program: Json) -> tuple[str, Json]:
    """The only input's name and tensor description."""
    graph, signature = (program["graph_module"][k] for k in ("graph", "signature"))
    inputs = [_name(s["user_input"]) for s in signature["input_specs"] if "user_input" in s]
    outputs = [_name(s["user_output"]) for s in signature["output_specs"] if "user_output" in s]
    kinds = {kind for s in signature["input_specs"] for kind in s}
    if (custom := kinds & {"custom_obj", "token"}) or graph.get("custom_obj_values"):
        raise UnsupportedError(
            f"{path}: the program takes a {', '.join(custom) or 'custom_obj'} (a Python object); "
            "export a model of plain tensors"
        )
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
    extra = sorted(kinds & {"constant_input"})
    if len(inputs) != 1 or len(outputs) != 1 or extra or inputs[0] not in graph["tensor_values"]:
        raise UnsupportedError(
            f"{path}: inputs {', '.join([*inputs, *extra]) or 'none'}, outputs {', '.join(outputs) or 'none'}; "
            "allowed: one input tensor and one output tensor. Wrap the model in a module with one of each"
        )
    return inputs[0], graph["tensor_values"][inputs[0]]


def _name(spec: Json) -> str:
    ((kind, value),) = spec["arg"].items()
    found: Any = value.get("name", value.get("as_name")) if isinstance(value, dict) else None
    return str(found or kind)


def _trains(graph: Json) -> bool:
    """Whether a dropout or a normalisation is told to behave as in training."""
    return any(
        argument["name"] in {"train", "training"} and argument["arg"].get("as_bool") is True
        for node in graph["nodes"]
        for argument in node["inputs"]
    )


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]

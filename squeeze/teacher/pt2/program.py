"""A torch.export archive -> a torch module, without running anything that the archive holds.

Why a reader of our own: torch's loader unpickles some payloads, evaluates symbolic sizes, resolves names with getattr
and compiles guards to Python, so that opening somebody's archive runs their code. Here `archive` opens it, `schema`
checks and cleans its program, `payload` makes its tensors, and torch's deserialiser gets clean values, never the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch._export.serde import schema
from torch._export.serde.serialize import (
    ExportedProgramDeserializer,
    _dict_to_dataclass,
)
from torch._export.verifier import SpecViolationError

from squeeze.errors import ConfigError
from squeeze.export.quiet import quiet
from squeeze.teacher.pt2.archive import PROGRAM, open_archive
from squeeze.teacher.pt2.id_tables import id_tables
from squeeze.teacher.pt2.payload import read_payload
from squeeze.teacher.pt2.schema import Json, conform, read_json
from squeeze.teacher.pt2.signature import Signature, read_signature

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.end import End
    from squeeze.teacher.pt2.archive import Archive

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


@dataclass(frozen=True)
class Program:
    """A rebuilt module, float32 on the CPU, and what it was exported for.

    It takes a tensor for each of `inputs` by position, and returns a tensor, or a tuple of several, for `outputs`;
    what is None there is None.
    """

    module: torch.nn.Module
    inputs: tuple[End, ...]
    outputs: tuple[End | None, ...]
    changes: tuple[str, ...]


def read_ends(path: Path) -> tuple[tuple[End, ...], tuple[End, ...], dict[str, int]]:
    """What the program takes, what of it is given, and the rows of the tables that inputs choose from; weights are not
    read. Raises as `read_program`."""
    _, program, signature = _described(path)
    given = tuple(d for d in signature.outputs if d is not None)
    return signature.inputs, given, id_tables(program)


def read_program(path: Path) -> Program:
    """Rebuilds the module of a .pt2 archive in float32 on the CPU.

    Raises ConfigError for damaged, altered or unsafe archives; UnsupportedError for inputs and outputs that are no
    tensors, operators of other libraries, and models exported in training mode.
    """
    archive, program, signature = _described(path)
    program["graph_module"]["module_call_graph"] = [
        {
            "fqn": "",
            "signature": {
                "inputs": [],
                "outputs": [],
                "in_spec": _arguments(len(signature.inputs)),
                "out_spec": _returned(len(signature.outputs)),
                "forward_arg_names": [d.name for d in signature.inputs],
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
    return Program(module, signature.inputs, signature.outputs, signature.narrowed)


def _described(path: Path) -> tuple[Archive, Json, Signature]:
    archive = open_archive(path)
    where = f"{path}: {PROGRAM}"
    stored = read_json(archive.read(PROGRAM), where)
    program = conform(schema.ExportedProgram, stored, where)
    return archive, program, read_signature(path, program, stored)


def _arguments(count: int) -> str:
    """torch's description of `count` arguments by position."""
    positions = _tuple(count)
    none = '{"type": "builtins.dict", "context": "[]", "children_spec": []}'
    return f'[1, {{"type": "builtins.tuple", "context": "null", "children_spec": [{positions}, {none}]}}]'


def _returned(count: int) -> str:
    """torch's description of one value, or of a tuple."""
    return f"[1, {_LEAF if count == 1 else _tuple(count)}]"


def _tuple(count: int) -> str:
    inner = ", ".join([_LEAF] * count)
    return f'{{"type": "builtins.tuple", "context": "null", "children_spec": [{inner}]}}'


def _reason(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]

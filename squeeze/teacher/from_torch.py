"""Torch modules of teachers (from .pt2 archives and factories) -> ONNX, through the one door in `squeeze.export`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import torch

from squeeze import runtimes
from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export import to_ir
from squeeze.teacher.example import arrangements, for_input
from squeeze.teacher.factory import build
from squeeze.teacher.onnx.runtime import check_output
from squeeze.teacher.pt2.program import TORCH_ERRORS, Program, read_program

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from numpy.typing import NDArray

_OUTPUT = "output"
_EXPORT_ERRORS: tuple[type[Exception], ...] = (*runtimes.ORT_ERRORS, *TORCH_ERRORS)


def pt2_to_onnx(
    path: Path, example: NDArray[np.generic] | None
) -> tuple[onnx.ModelProto, NDArray[np.generic]]:
    """The archive's program as ONNX, and the example as it takes it. Raises as `squeeze.teacher.load`."""
    program = read_program(path)
    x = for_input(example, program.input_name, program.dtype, program.shape, str(path))
    failed = _failure(program.module, x[:1])
    if failed is not None:
        raise _refused(path, program, x, failed)
    return _export(program.module, x, program.input_name, str(path)), x


def factory_to_onnx(
    source: str, weights: Path, example: NDArray[np.generic] | None
) -> tuple[onnx.ModelProto, NDArray[np.generic]]:
    """The factory's module as ONNX, and the example as it takes it. Raises as `squeeze.teacher.load`."""
    if example is None:
        raise ConfigError(
            f"{source}: a factory does not say what its model takes; data is needed (--calib)"
        )
    module = build(source, weights)
    failures = []
    for arranged in arrangements(example):
        x = np.ascontiguousarray(arranged)
        failed = _failure(module, x[:1])
        if failed is None:
            return _export(module, x, "input", source), x
        failures.append(failed)
    raise ConfigError(
        f"{source}: the model does not run on the data, {example.dtype} [n, {_sizes(example)}]: {failures[0]}"
    )


def _export(
    module: torch.nn.Module, x: NDArray[np.generic], name: str, where: str
) -> onnx.ModelProto:
    with torch.no_grad():
        output = module(torch.from_numpy(x[:1]))
    if not isinstance(output, torch.Tensor):
        raise UnsupportedError(
            f"{where}: the model returns {_described(output)}; allowed: one output tensor. "
            "Wrap it in a module that returns the one to keep"
        )
    check_output(output.float().numpy(), _OUTPUT, where)
    try:
        model = to_ir(module, x, input_name=name, output_name=_OUTPUT)
    except _EXPORT_ERRORS as e:
        raise UnsupportedError(
            f"{where}: cannot be exported to ONNX: {_first_line(e)}; replace that part of the model"
        ) from e
    return ir.serde.serialize_model(model)


def _failure(module: torch.nn.Module, x: NDArray[np.generic]) -> str | None:
    """What torch said when the module does not take `x`; None when it does."""
    try:
        with torch.no_grad():
            module(torch.from_numpy(x))
    except TORCH_ERRORS as e:
        return _first_line(e)
    return None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def _refused(
    path: Path, program: Program, x: NDArray[np.generic], failed: str
) -> ConfigError | UnsupportedError:
    batch = program.shape[0]
    if batch is not None and batch > 1:
        return UnsupportedError(
            f"{path}: exported for a batch of {batch} only, which is written into its shapes; export it again with "
            "dynamic_shapes=({0: torch.export.Dim('batch')},)"
        )
    return ConfigError(f"{path}: the model fails on {x.dtype} [n, {_sizes(x)}]: {failed}")


def _described(output: object) -> str:
    if isinstance(output, dict):
        return f"a dict of {', '.join(map(str, output))}"
    if isinstance(output, (tuple, list)):
        return f"{len(output)} outputs"
    return type(output).__name__


def _sizes(x: NDArray[np.generic]) -> str:
    return ", ".join(map(str, x.shape[1:]))

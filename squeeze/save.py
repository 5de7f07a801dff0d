"""`squeeze.save`: a torch module as a .pt2 or .onnx file whose batch is free, checked before it is written.

torch.export takes a batch of 0 or 1 for a constant, so the model is traced on two samples, whatever the example has.
What was exported is run on one and on three, and compared with the model.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir
import torch

from squeeze.errors import ConfigError, SqueezeError, UnsupportedError
from squeeze.export import feed_to_ir
from squeeze.export.blame import first_line, line_of, reason, where_fixed
from squeeze.export.quiet import quiet
from squeeze.export.taken import Axes, Inputs, axes_of, named, sized
from squeeze.teacher.exported import Flat
from squeeze.teacher.onnx.runtime import same
from squeeze.teacher.outputs import named_tensors
from squeeze.teacher.source import script_refusal
from squeeze.workdir import write_atomic

_TRACED = 2
_CHECKED = (1, 3)


def save_model(
    model: torch.nn.Module,
    example: Any,  # Any: a tensor, or tuples, lists and dicts of them
    path: str | Path,
    *,
    batch_axes: Mapping[str, int | None] | None = None,
) -> Path:
    """Writes `model` in eval mode to `path`: a torch.export archive (.pt2), or ONNX (.onnx). Gives the path back.

    example: what the model is called with: a tensor or array [n, ...], a tuple of them in the order of forward, or a
    dict by its names. One sample is enough. The batch is the first axis of the first input, and of the others that are
    as long there; batch_axes says otherwise by input (None for no batch). The model is as it was afterwards.

    Raises ConfigError when the model does not run on the example or takes only one size of batch, UnsupportedError when
    it cannot be exported; the message has the line of the model's code.
    """
    target = _target(path)
    name = type(model).__name__
    if isinstance(model, torch.jit.ScriptModule):
        raise UnsupportedError(*script_refusal(f"squeeze.save: {name}", "net.pt"))
    if not isinstance(model, torch.nn.Module):
        raise ConfigError(f"squeeze.save: got {name}, wanted a torch.nn.Module")
    with _in_eval_mode(model), torch.no_grad():
        module = copy.deepcopy(model).cpu() if _on_device(model) else model
        inputs = named(module, example)
        axes = axes_of(inputs, batch_axes or {})
        outputs = list(_returned(module, inputs, name))
        _returned(module, sized(inputs, axes, _TRACED), name)
        program = _exported(module, inputs, axes, name)
        _compare(module, program.module(), inputs, axes, name)
        data = (
            _as_archive(program)
            if target.suffix.lower() == ".pt2"
            else _as_onnx(module, inputs, axes, outputs, name)
        )
    try:
        write_atomic(target, data)
    except OSError as e:
        raise ConfigError(f"{target}: cannot be written: {e.strerror}") from e
    return target


def _target(path: str | Path) -> Path:
    target = Path(path)
    if target.suffix.lower() not in (".pt2", ".onnx"):
        raise ConfigError(f"{target}: got '{target.suffix}', allowed: .pt2, .onnx")
    if target.is_dir() or not target.absolute().parent.is_dir():
        raise ConfigError(f"{target}: a file in a folder that is there is wanted")
    return target


def _on_device(model: torch.nn.Module) -> bool:
    return any(t.device.type != "cpu" for t in (*model.parameters(), *model.buffers()))


@contextmanager
def _in_eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Each part of the model is in the mode that it had, afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _returned(module: torch.nn.Module, inputs: Inputs, name: str) -> dict[str, torch.Tensor]:
    """What the module gives, by the names that the file has for it."""
    try:
        returned = module(**inputs)
    except Exception as e:  # the user's code may raise anything
        shapes = ", ".join(f"{n} {list(x.shape)}" for n, x in inputs.items())
        raise ConfigError(
            f"squeeze.save: {name} does not run on {shapes}: {first_line(e)}{line_of(e)}; an input's batch that is "
            "not its first axis is named by batch_axes"
        ) from e
    return named_tensors(returned, list(inputs), f"squeeze.save: {name}")


def _exported(
    module: torch.nn.Module, inputs: Inputs, axes: Axes, name: str
) -> torch.export.ExportedProgram:
    try:
        with quiet():
            return _traced(module, inputs, axes)
    except Exception as e:  # torch has no one type for what it cannot export
        if "Constraints violated" in str(e) or "specialized" in str(e):
            fixed = where_fixed(lambda: _traced(module, inputs, axes))
            raise UnsupportedError(
                f"squeeze.save: {name} takes only one size of batch{fixed}; write sizes as x.shape[0] or flatten(1), "
                "not as numbers"
            ) from e
        raise UnsupportedError(
            f"squeeze.save: {name} cannot be exported: {reason(e)}{line_of(e)}; replace that part by tensor operations"
        ) from e


def _traced(module: torch.nn.Module, inputs: Inputs, axes: Axes) -> torch.export.ExportedProgram:
    batch = torch.export.Dim("batch", min=1)
    shapes = {n: None if axis is None else {axis: batch} for n, axis in axes.items()}
    return torch.export.export(
        module, (), sized(inputs, axes, _TRACED), dynamic_shapes=shapes, strict=False
    )


def _compare(
    module: torch.nn.Module, exported: torch.nn.Module, inputs: Inputs, axes: Axes, name: str
) -> None:
    for count in _CHECKED:
        given = sized(inputs, axes, count)
        wanted = _returned(module, given, name)
        got = _returned(exported, given, name)
        for output, x in wanted.items():
            y = got.get(output)
            if y is None or x.shape != y.shape or not _close(x, y):
                raise UnsupportedError(
                    f"squeeze.save: {name}, exported, gives another '{output}' for {count} samples than the model "
                    "does; it may be random, or depend on values in Python code"
                )


def _close(x: torch.Tensor, y: torch.Tensor) -> bool:
    if not x.is_floating_point():
        return torch.equal(x, y)
    return same(x.detach().double().numpy(), y.detach().double().numpy())


def _as_archive(program: torch.export.ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    with quiet():
        torch.export.save(program, buffer)
    return buffer.getvalue()


def _as_onnx(
    module: torch.nn.Module, inputs: Inputs, axes: Axes, outputs: list[str], name: str
) -> bytes:
    feed = {
        n: (x[None] if (axis := axes[n]) is None else x.movedim(axis, 0)).numpy()
        for n, x in inputs.items()
    }
    try:
        model = feed_to_ir(Flat(module, list(inputs)), feed, output_names=outputs, batch_axes=axes)
        return bytes(ir.serde.serialize_model(model).SerializeToString(deterministic=True))
    except SqueezeError as e:
        raise UnsupportedError(
            f"squeeze.save: {name} cannot become ONNX: {e}; save it as .pt2"
        ) from e
    except ValueError as e:  # protobuf ends at 2 GB
        raise UnsupportedError(
            f"squeeze.save: {name} is too large for one ONNX file; save it as .pt2"
        ) from e

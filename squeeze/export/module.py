"""torch.nn.Module -> onnx_ir.Model by torch.export, quietly, with a dynamic batch where the module allows one."""

from __future__ import annotations

import inspect
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.onnx import OnnxExporterError

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export.compare import Run, check
from squeeze.export.normalise import normalise
from squeeze.export.quiet import quiet

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Not 1: torch.export would take a batch of one for a constant.
TRACED_BATCH = 3
Arrays = tuple["NDArray[np.generic]", ...]


@dataclass(frozen=True)
class Ends:
    """Names of a module's inputs and outputs in its own order, and where each input has its batch."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch_axes: tuple[int | None, ...]


def export_module(
    module: torch.nn.Module,
    samples: Arrays,  # one an input, [n, ...]
    ends: Ends,
    fixed_batch: int,
    opset: int,
) -> ir.Model:
    """See `squeeze.export.feed_to_ir`."""
    started = time.perf_counter()
    if any(len(x) == 0 for x in samples):
        raise ConfigError("export: got no example inputs; one or more are needed")
    batched = any(axis is not None for axis in ends.batch_axes)
    expected: dict[int, Run] = {}
    for count in dict.fromkeys((fixed_batch, TRACED_BATCH) if batched else (fixed_batch,)):
        given = _given(samples, ends, count)
        outputs = _run(module, given, ends)
        if outputs is not None:
            expected[count] = given, outputs
    if fixed_batch not in expected:
        shapes = ", ".join(str(x.shape) for x in _given(samples, ends, fixed_batch))
        raise ConfigError(f"export: the module does not run on an input of shape {shapes}")
    model = _dynamic(module, expected, ends, opset) if len(expected) > 1 else None
    if model is None:
        if batched:
            logger.warning(
                "export: the module takes no dynamic batch; it is exported for a batch of %d",
                fixed_batch,
            )
        expected = {fixed_batch: expected[fixed_batch]}
        model = _fixed(module, expected[fixed_batch][0], ends, opset)
    normalise(model, "batch", ends.batch_axes)
    check(model, expected)
    seconds = time.perf_counter() - started
    logger.info("export: %d nodes in %.1f s", model.graph.num_nodes(), seconds)
    return model


def _given(samples: Arrays, ends: Ends, count: int) -> Arrays:
    """`count` samples as the module's own tensors; of inputs without a batch the first one."""
    return tuple(
        np.array(x[0])
        if axis is None
        else np.ascontiguousarray(np.moveaxis(np.resize(x, (count, *x.shape[1:])), 0, axis))
        for x, axis in zip(samples, ends.batch_axes, strict=True)
    )


def _run(module: torch.nn.Module, given: Arrays, ends: Ends) -> Arrays | None:
    """The module's outputs; None when it takes no such batch."""
    with torch.no_grad():
        try:
            found = module(*map(torch.from_numpy, given))
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as e:
            logger.debug("the module refuses %s: %s", [x.shape for x in given], e)
            return None
    outputs = found if isinstance(found, (tuple, list)) else (found,)
    if len(outputs) != len(ends.outputs) or not all(isinstance(o, torch.Tensor) for o in outputs):
        wanted = "one tensor is" if len(ends.outputs) == 1 else f"{len(ends.outputs)} tensors are"
        raise UnsupportedError(
            f"export: the module returns {type(found).__name__}; {wanted} needed (wrap it)"
        )
    return tuple(o.numpy() for o in outputs)


def _dynamic(
    module: torch.nn.Module, expected: dict[int, Run], ends: Ends, opset: int
) -> ir.Model | None:
    """The exporter's graph with a symbolic batch; None when the module fixes the batch."""
    shapes = tuple(
        None if axis is None else {axis: torch.export.Dim.DYNAMIC} for axis in ends.batch_axes
    )
    try:
        model = _export(module, expected[TRACED_BATCH][0], ends, opset, _arguments(module, shapes))
    except OnnxExporterError as e:
        logger.debug("no dynamic batch: %s", _reason(e))
        return None
    (_, one), (_, several) = expected.values()
    for index, output in enumerate(model.graph.outputs):
        grows = one[index].shape != several[index].shape or len(ends.outputs) == 1
        if grows and (output.shape is None or all(isinstance(d, int) for d in output.shape)):
            logger.debug("no dynamic batch: the shape of '%s' is %s", output.name, output.shape)
            return None
    return model


def _arguments(module: torch.nn.Module, shapes: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is said of each parameter of forward; one that takes all arguments is told of all at once."""
    first = next(iter(inspect.signature(module.forward).parameters.values()), None)
    starred = first is not None and first.kind is inspect.Parameter.VAR_POSITIONAL
    return (shapes,) if starred else shapes


def _fixed(module: torch.nn.Module, given: Arrays, ends: Ends, opset: int) -> ir.Model:
    """The exporter's graph for the batch of `given`. Raises UnsupportedError."""
    try:
        return _export(module, given, ends, opset, None)
    except OnnxExporterError as e:
        raise UnsupportedError(f"export: torch.onnx cannot export the module: {_reason(e)}") from e


def _export(
    module: torch.nn.Module,
    given: Arrays,
    ends: Ends,
    opset: int,
    dynamic_shapes: Any,  # torch's own type for a hint is private
) -> ir.Model:
    with quiet():
        program = torch.onnx.export(
            module,
            tuple(map(torch.from_numpy, given)),
            input_names=list(ends.inputs),
            output_names=list(ends.outputs),
            opset_version=opset,
            dynamic_shapes=dynamic_shapes,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise UnsupportedError("export: torch.onnx returned no graph")
    return program.model


def _reason(error: OnnxExporterError) -> str:
    root: BaseException = error
    while root.__cause__ is not None:
        root = root.__cause__
    return str(root).strip().split("\n")[0]

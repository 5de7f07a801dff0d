"""torch.nn.Module -> onnx_ir.Model by torch.export, quietly, with a dynamic batch where the module allows one, and with
other sizes that are asked to stay free."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Mapping
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
BATCH = "batch"
# By how much a free size differs from the samples' where the graph is compared with the module.
_OTHER_SIZES = (32, 1, -1)
Arrays = tuple["NDArray[np.generic]", ...]


@dataclass(frozen=True)
class Ends:
    """Names of a module's inputs and outputs in its own order, where each input has its batch, and what its other free
    axes are called."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    batch_axes: tuple[int | None, ...]
    free: tuple[Mapping[int, str], ...]

    def names(self) -> list[dict[int, str]]:
        """Of each input, by axis, what its sizes that may vary are called."""
        return [
            {**({} if axis is None else {axis: BATCH}), **free}
            for axis, free in zip(self.batch_axes, self.free, strict=True)
        ]


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
    if model is None and any(ends.free):
        names = ", ".join(sorted({name for axes in ends.free for name in axes.values()}))
        raise UnsupportedError(f"export: the module fixes its sizes; wanted free: {names}")
    if model is None:
        if batched:
            logger.warning(
                "export: the module takes no dynamic batch; it is exported for a batch of %d",
                fixed_batch,
            )
        expected = {fixed_batch: expected[fixed_batch]}
        model = _fixed(module, expected[fixed_batch][0], ends, opset)
    normalise(model, ends.names())
    runs = {f"batch {count}": run for count, run in expected.items()}
    check(model, {**runs, **_other_runs(module, expected, ends)})
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


def _other_runs(module: torch.nn.Module, expected: Mapping[int, Run], ends: Ends) -> dict[str, Run]:
    """What the module gives in other sizes of its free axes, those that it takes."""
    found: dict[str, Run] = {}
    given = list(expected.values())[-1][0]
    for amount in _OTHER_SIZES if any(ends.free) else ():
        resized = tuple(_resized(x, free, amount) for x, free in zip(given, ends.free, strict=True))
        outputs = _run(module, resized, ends) if all(x.size for x in resized) else None
        if outputs is not None:
            found[f"free sizes {amount:+d}"] = resized, outputs
    return found


def _resized(x: NDArray[np.generic], free: Mapping[int, str], amount: int) -> NDArray[np.generic]:
    """Cut off, or begun anew, so that all values are the samples'."""
    for axis in free:
        x = np.take(x, np.arange(max(0, x.shape[axis] + amount)) % x.shape[axis], axis)
    return x


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
    """The exporter's graph with a symbolic batch; None when the module fixes the batch, or another free size."""
    shapes = tuple(
        dict.fromkeys(names, torch.export.Dim.DYNAMIC) if names else None for names in ends.names()
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

"""torch.nn.Module -> onnx_ir.Model by torch.export, quietly, with a dynamic batch where the module allows one."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.onnx import OnnxExporterError

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export.compare import check
from squeeze.export.normalise import normalise
from squeeze.export.quiet import quiet

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

logger = logging.getLogger(__name__)

# Not 1: torch.export would take a batch of one for a constant.
TRACED_BATCH = 3


def export_module(
    module: torch.nn.Module,
    example: NDArray[np.generic],  # [n, ...]
    *,
    input_name: str,
    output_name: str,
    opset: int,
) -> ir.Model:
    """See `squeeze.export.to_ir`."""
    started = time.perf_counter()
    if len(example) == 0:
        raise ConfigError("export: got no example inputs; one or more are needed")
    traced = np.ascontiguousarray(np.resize(example, (TRACED_BATCH, *example.shape[1:])))
    names = (input_name, output_name)
    expected = {}
    for count in (1, TRACED_BATCH):
        output = _run(module, traced[:count])
        if output is not None:
            expected[count] = output
    if 1 not in expected:
        raise ConfigError(
            f"export: the module does not run on an input of shape {traced[:1].shape}"
        )
    model = _dynamic(module, traced, names, opset) if TRACED_BATCH in expected else None
    if model is None:
        logger.warning("export: the module takes no dynamic batch; it is exported for a batch of 1")
        model = _fixed(module, traced[:1], names, opset)
        expected = {1: expected[1]}
    normalise(model, "batch")
    check(model, {count: (traced[:count], output) for count, output in expected.items()})
    seconds = time.perf_counter() - started
    logger.info("export: %d nodes in %.1f s", model.graph.num_nodes(), seconds)
    return model


def _run(module: torch.nn.Module, x: NDArray[np.generic]) -> NDArray[np.generic] | None:
    """The module's output for `x`; None when it takes no such batch."""
    with torch.no_grad():
        try:
            output = module(torch.from_numpy(x))
        except (RuntimeError, ValueError, TypeError, AssertionError, IndexError) as e:
            logger.debug("the module refuses a batch of %d: %s", len(x), e)
            return None
    if not isinstance(output, torch.Tensor):
        raise UnsupportedError(
            f"export: the module returns {type(output).__name__}; one tensor is needed (wrap it)"
        )
    return output.numpy()


def _dynamic(
    module: torch.nn.Module, traced: NDArray[np.generic], names: tuple[str, str], opset: int
) -> ir.Model | None:
    """The exporter's graph with a symbolic batch; None when the module fixes the batch."""
    try:
        model = _export(module, traced, names, opset, ({0: torch.export.Dim.DYNAMIC},))
    except OnnxExporterError as e:
        logger.debug("no dynamic batch: %s", _reason(e))
        return None
    shape = model.graph.outputs[0].shape
    if shape is None or len(shape) == 0 or isinstance(shape[0], int):
        logger.debug("no dynamic batch: the output's shape is %s", shape)
        return None
    return model


def _fixed(
    module: torch.nn.Module, traced: NDArray[np.generic], names: tuple[str, str], opset: int
) -> ir.Model:
    """The exporter's graph for the batch of `traced`. Raises UnsupportedError."""
    try:
        return _export(module, traced, names, opset, None)
    except OnnxExporterError as e:
        raise UnsupportedError(f"export: torch.onnx cannot export the module: {_reason(e)}") from e


def _export(
    module: torch.nn.Module,
    traced: NDArray[np.generic],
    names: tuple[str, str],
    opset: int,
    dynamic_shapes: Any,  # torch's own type for a hint is private
) -> ir.Model:
    with quiet():
        program = torch.onnx.export(
            module,
            (torch.from_numpy(traced),),
            input_names=[names[0]],
            output_names=[names[1]],
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

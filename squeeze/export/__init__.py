"""The one door between torch and ONNX: nothing before it sees a graph, nothing after it sees a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squeeze.export.from_ir import from_ir

if TYPE_CHECKING:
    import numpy as np
    import onnx_ir as ir
    import torch
    from numpy.typing import NDArray

__all__ = ["from_ir", "to_ir"]


def to_ir(
    module: torch.nn.Module,
    example: NDArray[np.generic],  # [n, ...]
    *,
    input_name: str,
    output_name: str,
    opset: int = 20,
) -> ir.Model:
    """The float graph of `module` (one tensor in, one tensor out), compared with torch before it is returned.

    example: one or more inputs in the dtype that the module takes. The batch is dynamic and is called "batch"; where
    the module cannot be exported so, it is fixed to 1 and a warning says it. The same module gives the same bytes:
    names are stable, and traces, paths and versions are removed. The IR version is 9 at most.

    Raises ConfigError when the module does not take the example, UnsupportedError when it cannot be exported, and
    PassError when the graph computes something else than the module (largest absolute difference in the message).
    """
    from squeeze.export.module import export_module

    return export_module(
        module, example, input_name=input_name, output_name=output_name, opset=opset
    )

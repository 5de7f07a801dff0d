"""Static int8: which tensors are quantised, their ranges from calibration data, Q/DQ nodes, bias correction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from squeeze.progress import Progress
    from squeeze.spec import QuantPart

__all__ = ["Quantised", "quantize"]


@dataclass(frozen=True)
class Quantised:
    """An int8 model, and notes on what was tried: each has name, kept, why, numbers."""

    model: ir.Model
    notes: list[dict[str, Any]]  # Any: JSON


def quantize(
    model: ir.Model,
    batches: Callable[[], Iterator[NDArray[np.generic]]],
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    progress: Progress | None = None,
    reduce_range: bool = False,
) -> Quantised:
    """A new model with Q/DQ nodes around everything that ONNX Runtime computes in int8; `model` stays as it is.

    batches: starts a fresh pass over preprocessed calibration inputs [n, ...]; the passes must give the same samples
    activations: the type of every quantised activation; weights are int8 per output channel, biases int32
    reduce_range: 7-bit weights, for x86 CPUs without VNNI, whose int8 products saturate

    Memory does not grow with the number of samples. The same arguments give the same model. Raises ConfigError when
    there are no samples or they are not finite, MeasureError when the runtime cannot run the graph.
    """
    from squeeze.quant.static import quantize_static

    return quantize_static(
        model,
        batches,
        activations=activations,
        part=part,
        progress=progress,
        reduce_range=reduce_range,
    )

"""Post-training quantisation: int8 and weights of 4, 3, 2 bits, ranges from calibration data, Q/DQ nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import onnx_ir as ir

    from squeeze.feed import Passes
    from squeeze.note import Note
    from squeeze.progress import Progress
    from squeeze.quant.weights.levels import Scaling
    from squeeze.spec import QuantPart

__all__ = ["Quantised", "QuantisedLayer", "quantize"]


@dataclass(frozen=True)
class QuantisedLayer:
    """A weighted node: the name of its float output, bits and number of its weights, their mean squared error as a
    share of their mean square."""

    name: str
    bits: int
    weights: int
    error: float


@dataclass(frozen=True)
class Quantised:
    """An int8 model, notes on what was tried, its weighted nodes in order."""

    model: ir.Model
    notes: list[Note]
    layers: list[QuantisedLayer] = field(default_factory=list)


def quantize(
    model: ir.Model,
    passes: Passes,
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    progress: Progress | None = None,
    reduce_range: bool = False,
    bits: Mapping[str, int] | int = 8,
    scaling: Scaling = "uniform",
    float_outputs: Collection[str] = (),
    store_float: bool = True,
) -> Quantised:
    """A new model with Q/DQ nodes around everything that ONNX Runtime computes in int8; `model` stays as it is.

    Inputs and outputs keep their names, types and order: what becomes int8 are float32 values between them.

    passes: preprocessed calibration samples; every pass must give the same ones. How they are cut does not show
    activations: the type of every quantised activation; weights are int8 per output channel, biases int32
    reduce_range: smaller weights where two products could saturate on x86 CPUs without VNNI: 7 bits and a little more
    bits: 8, 4, 3 or 2; one number is for the weights of all layers but the first and the last, which keep 8. A mapping
        from names of float outputs of weighted nodes is for those alone. The integers stay int8 in the file, with at
        most 2^bits different ones, which `graph.lower` packs
    float_outputs: first outputs of nodes that stay float, beside those that `part.keep_float` means
    store_float: those of `float_outputs` have their weights in int8 all the same, see `squeeze.quant.stored`
    scaling: how the levels of fewer than 8 bits are chosen, see `squeeze.quant.weights.levels`

    Memory does not grow with the number of samples. The same arguments give the same model. Raises ConfigError when
    there are no samples or they are not finite, for bits, layers or scalings that there are not, MeasureError when the
    runtime cannot run the graph.
    """
    from squeeze.quant.static import quantize_static

    return quantize_static(
        model,
        passes,
        activations=activations,
        part=part,
        progress=progress,
        reduce_range=reduce_range,
        bits=bits,
        scaling=scaling,
        float_outputs=float_outputs,
        store_float=store_float,
    )

"""The quickest int8 form of a float file: for what a network costs on a device, which does not hang on its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from squeeze import graph, quant
from squeeze.feed import Passes
from squeeze.spec import QuantPart

if TYPE_CHECKING:
    from pathlib import Path

    from squeeze.feed import Feed
    from squeeze.interface import Interface


def quickest(part: QuantPart) -> QuantPart:
    """The quickest int8: good enough for what a network costs, not for an accuracy."""
    return part.model_copy(
        update={"observer": "minmax", "bias_correction": False, "adaround": False, "smooth": False}
    )


def rough_int8(
    file: Path,
    sample: Feed,
    interface: Interface,
    path: Path,
    *,
    activations: Literal["uint8", "int8"],
    ranges: Passes | None = None,
) -> Path:
    """Writes the int8 form of the float ONNX file `file` as `path`: the quickest, its ranges from one sample [1, ...],
    or as it comes from post-training quantisation with the samples of `ranges`."""
    part = QuantPart(integer_outputs=True)
    model = graph.load(file)
    graph.optimise(model, sample, interface)
    made = quant.quantize(
        model,
        ranges or Passes(interface, lambda: iter((sample,))),
        activations=activations,
        part=part if ranges else quickest(part),
        reduce_range=activations == "uint8",
    )
    graph.save(made.model, path)
    return path

"""AdaRound over the layers of a prepared graph: one pass over the samples, then any number of bits for each layer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from squeeze.progress import Progress
from squeeze.quant.prepared import Prepared
from squeeze.quant.weights.adaround import adaround
from squeeze.quant.weights.gram import grams
from squeeze.quant.weights.levels import FULL_BITS, Scaling
from squeeze.quant.weights.weighted import Codes, Weighted

if TYPE_CHECKING:
    from squeeze.feed import Passes


# Outputs times inputs squared: what a step of the optimiser multiplies. At 8 bits rounding to nearest is next to exact,
# and a layer beyond this would take minutes to gain little.
MOST_PRODUCTS_AT_8_BITS = 1 << 28


@dataclass(frozen=True)
class Rounding:
    """What was found, by layer and bits, and the error of that layer as a share of what rounding to nearest makes."""

    codes: dict[tuple[str, int], Codes]
    shares: dict[tuple[str, int], float]


def round_for_outputs(
    prepared: Prepared,
    wanted: Mapping[str, Sequence[int]],
    scaling: Scaling,
    passes: Passes,
    samples: int,
    progress: Progress,
) -> Rounding:
    """Weights at the `wanted` bits of each layer; layers that are too large (see `gram`; sooner where 8 bits alone are
    wanted) do not appear, nor do those whose weights another layer reads too: with integers for each of them they would
    be in the file several times.

    Raises ConfigError for bits other than 8, 4, 3, 2, and when there are no samples or they are not finite.
    """
    readers = Counter(id(layer.shared) for layer in prepared.layers)
    layers = {
        layer.name: layer
        for layer in prepared.layers
        if layer.name in wanted
        and readers[id(layer.shared)] == 1
        and (min(wanted[layer.name]) < FULL_BITS or _products(layer) <= MOST_PRODUCTS_AT_8_BITS)
    }
    found = Rounding({}, {})
    for done, (name, gram) in enumerate(
        grams(prepared.model, list(layers), passes, samples), start=1
    ):
        layer = layers[name]
        for bits in wanted[name]:
            rounded = adaround(
                layer.weights,
                layer.levels(bits, scaling, prepared.grid),
                gram,
                biased=layer.biased,
                least_scales=layer.least_scales,
            )
            found.codes[name, bits] = layer.kept_safe(rounded, bits, prepared.grid)
            before = float(rounded.before.sum())
            found.shares[name, bits] = float(rounded.after.sum()) / before if before > 0 else 1.0
        progress.update(done, len(layers), "layers rounded")
    return found


def _products(layer: Weighted) -> int:
    inputs = layer.weights.size // len(layer.weights)
    return layer.weights.size * inputs

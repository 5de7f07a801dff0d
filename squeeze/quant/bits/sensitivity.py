"""How much each layer minds fewer bits: one layer at a time at 4, 3 or 2 bits, all others int8, run by ONNX Runtime.

Each variant is a file of its own, of which only the weights of one layer differ. The calibration samples are the first
of those that ranges come from. The cost is one session and `samples` samples per layer and number of bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx import numpy_helper

from squeeze import graph, runtimes
from squeeze.feed import joined
from squeeze.graph.codes import cheapest
from squeeze.progress import Progress
from squeeze.quant.insert import Layer
from squeeze.quant.keep import kept
from squeeze.quant.output_error import Errors, together
from squeeze.quant.place import place
from squeeze.quant.prepared import build, prepare, spelled
from squeeze.quant.ranges.grid import Grid, quantise_bias
from squeeze.quant.runner import chunks, fitting, output_bytes
from squeeze.quant.weights.levels import FEW_BITS, FULL_BITS, Scaling
from squeeze.quant.weights.rounding import round_for_outputs
from squeeze.quant.weights.weighted import Codes

if TYPE_CHECKING:
    from squeeze.feed import Array, Passes
    from squeeze.spec import QuantPart

SAMPLES = 128
MOST_SAMPLES = 256
# What the float outputs of the samples may take: they are kept. Large ones are compared on fewer samples.
OUTPUT_BYTES = 256 << 20
# Of a probability, so that its logarithm is a number.
SMALLEST = 1e-12

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivity:
    """A layer, by the name of its float output; the keys of the tables are bits.

    bytes: of its weights in the file: indices, codebooks and scales, or int8 weights and scales; no bias
    error: that of the outputs, see `output_error`
    divergence: mean Kullback-Leibler divergence of the float softmax to this one, in nats, over the outputs that are
        scores of classes, [n, c] with two or more of them; an empty table when none is
    loss: what `allocate` keeps low, summed over the outputs: the divergence of scores, the squared error of all others
    """

    name: str
    weights: int
    bytes: dict[int, int]
    error: dict[int, float]
    divergence: dict[int, float]
    loss: dict[int, float]

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """The row of the report; keys of tables are strings."""
        return {
            "name": self.name,
            "weights": self.weights,
            "bytes": {str(b): v for b, v in self.bytes.items()},
            "error": {str(b): v for b, v in self.error.items()},
            "divergence": {str(b): v for b, v in self.divergence.items()},
            "loss": {str(b): v for b, v in self.loss.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Sensitivity:  # Any: what to_json gave
        def table(key: str) -> dict[int, Any]:  # Any: numbers of one kind
            return {int(b): v for b, v in data[key].items()}

        return cls(
            name=str(data["name"]),
            weights=int(data["weights"]),
            bytes=table("bytes"),
            error=table("error"),
            divergence=table("divergence"),
            loss=table("loss"),
        )


def sensitivity(
    model: ir.Model,
    passes: Passes,
    *,
    activations: Literal["uint8", "int8"],
    part: QuantPart,
    bits: Sequence[int] = FEW_BITS,
    samples: int = SAMPLES,
    scaling: Scaling = "uniform",
    reduce_range: bool = False,
    progress: Progress | None = None,
) -> list[Sensitivity]:
    """A row for each weighted node of a float graph, in order; 8 bits are in every row and mean int8 throughout.

    `part.adaround` says whether the weights of fewer bits are rounded for the outputs of their layers or to nearest.
    No rows where nothing is int8. At most 256 samples are used. Raises ConfigError when there are none or they are not
    finite, and for bits other than 4, 3, 2.
    """
    progress = progress or Progress()
    stay = kept(model, part.keep_float)
    if not place(spelled(model, stay).graph, stay).nodes:
        return []
    prepared = prepare(
        model,
        passes,
        part.samples,
        grid=Grid.of(activations, safe=reduce_range),
        observer=part.observer,
        tick=lambda count: None,
        float_outputs=stay,
    )
    if not prepared.layers:
        return []
    few = [b for b in bits if b != FULL_BITS]
    rounded: Mapping[tuple[str, int], Codes] = {}
    if part.adaround:
        wanted = {layer.name: few for layer in prepared.layers}
        rounded = round_for_outputs(prepared, wanted, scaling, passes, part.samples, progress).codes
    built = build(prepared, {})
    weights = {layer.float_output: layer.weight_name for layer in built.layers}
    runs = _Runs(model, built.model, passes, min(samples, MOST_SAMPLES))
    whole = runs.compared(runs.int8.SerializeToString())
    rows = []
    for done, layer in enumerate(prepared.layers, start=1):
        int8 = layer.to_nearest(FULL_BITS, scaling, prepared.grid)
        sizes = {FULL_BITS: weight_bytes(int8)}
        found = {FULL_BITS: whole}
        for b in few:
            codes = rounded.get((layer.name, b)) or layer.to_nearest(b, scaling, prepared.grid)
            sizes[b] = weight_bytes(codes)
            sharing = [o for o in built.layers if o.weight_name == weights[layer.name]]
            found[b] = runs.compared(runs.variant(sharing, codes))
        rows.append(
            Sensitivity(
                layer.name,
                layer.weights.size,
                sizes,
                {b: c.error for b, c in found.items()},
                {b: c.divergence for b, c in found.items() if c.divergence is not None},
                {b: c.loss for b, c in found.items()},
            )
        )
        progress.update(done, len(prepared.layers), "layers tried with fewer bits")
    return rows


def weight_bytes(codes: Codes) -> int:
    """What weights take in a lowered file: scales, and integers, packed with codebooks where few of them differ."""
    packed = cheapest(codes.integers)
    return (codes.integers.nbytes if packed is None else packed.bytes) + codes.scales.nbytes


@dataclass(frozen=True)
class _Compared:
    error: float
    divergence: float | None
    loss: float


class _Runs:
    """The float outputs, and the int8 file whose weights are replaced."""

    def __init__(self, model: ir.Model, int8: ir.Model, passes: Passes, samples: int) -> None:
        self.interface = passes.interface
        most = max(1, OUTPUT_BYTES // max(output_bytes(self.interface), 1))
        self.inputs = list(chunks(passes, min(samples, most), fitting(self.interface)))
        self.expected = self._outputs(graph.to_bytes(model))
        self.int8 = ir.serde.serialize_model(int8)
        self.index = {t.name: i for i, t in enumerate(self.int8.graph.initializer)}

    def variant(self, layers: Sequence[Layer], codes: Codes) -> bytes:
        """The int8 file with other weights in one layer, or in all that have the same ones."""
        replaced: dict[str, NDArray[np.generic]] = {}
        for layer in layers:
            integers = np.ascontiguousarray(np.moveaxis(codes.integers, 0, layer.axis))
            replaced |= {layer.weight_name: integers, layer.scale_name: codes.scales}
            if layer.bias_name:
                bias = layer.bias if codes.bias is None else codes.bias
                replaced[layer.bias_name] = quantise_bias(bias, layer.x_scale, codes.scales)
                replaced[layer.bias_scale_name] = np.float32(layer.x_scale) * codes.scales
        tensors = self.int8.graph.initializer
        kept = {name: onnx.TensorProto.FromString(self._bytes(name)) for name in replaced}
        for name, array in replaced.items():
            tensors[self.index[name]].CopyFrom(numpy_helper.from_array(array, name))
        data: bytes = self.int8.SerializeToString()
        for name, tensor in kept.items():
            tensors[self.index[name]].CopyFrom(tensor)
        return data

    def compared(self, model: bytes) -> _Compared:
        """The outputs of a model with those of the float one."""
        got = self._outputs(model)
        errors = Errors(1)
        errors.add(self.expected, [got])
        (found,) = errors.by_output()
        divergences = {
            name: divergence(wanted, got[name])
            for name, wanted in self.expected.items()
            if _scores_classes(wanted)
        }
        loss = sum(divergences.get(name, error**2) for name, error in found.items())
        mean = float(np.mean(list(divergences.values()))) if divergences else None
        return _Compared(together(found), mean, loss)

    def _bytes(self, name: str) -> bytes:
        data: bytes = self.int8.graph.initializer[self.index[name]].SerializeToString()
        return data

    def _outputs(self, model: bytes) -> dict[str, Array]:
        opened = runtimes.session(model)
        return joined(runtimes.infer(opened, feed, self.interface) for feed in self.inputs)


def divergence(expected: Array, got: Array) -> float:
    """Mean KL(p || q) over samples [n, c], in nats; p and q are the outputs themselves where the float ones are
    probabilities, else their softmax."""
    if _are_probabilities(expected):
        p, q = (np.log(np.maximum(x.astype(np.float64), SMALLEST)) for x in (expected, got))
    else:
        p, q = (_log_softmax(x.astype(np.float64)) for x in (expected, got))
    return max(0.0, float((np.exp(p) * (p - q)).sum(axis=-1).mean()))


def _scores_classes(outputs: Array) -> bool:
    return outputs.ndim == 2 and outputs.shape[1] > 1 and outputs.dtype.kind == "f"


def _are_probabilities(outputs: Array) -> bool:
    sums = outputs.sum(axis=1, dtype=np.float64)
    return bool((outputs >= 0).all() and np.allclose(sums, 1, rtol=0, atol=1e-2))


def _log_softmax(x: Floats) -> Floats:
    shifted = x - x.max(axis=-1, keepdims=True)
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return found

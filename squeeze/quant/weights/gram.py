"""What each layer sees, as far as its weights are concerned: mean and second moments of its inputs.

A weighted node computes W x for many columns x: patches of the image for Conv, rows for Gemm and MatMul. The error that
other weights make over all of them is tr(D C D') with D the difference of the weights and C the covariance of the
columns, once the bias has taken over the mean shift D mean(x); without a bias C holds the moments about zero. One
matrix per group replaces all samples. The columns are those of the float network.

Memory is bounded: layers go through the samples in sets whose matrices fit into SET_BYTES together, and each takes at
most COLUMNS columns, at places drawn anew for each chunk of samples. Layers whose columns have more than LARGEST_COLUMN
numbers are left out; their weights are rounded to nearest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.passes.explicit_pads import explicit_pads
from squeeze.graph.values import constant, integer, integers, is_op
from squeeze.quant.runner import chunks, runner_of

if TYPE_CHECKING:
    from squeeze.feed import Passes

LARGEST_COLUMN = 2304
SET_BYTES = 256 << 20
COLUMNS = 1 << 15

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Gram:
    """Over the columns that a layer was given: mean [g, k] and moments about zero [g, k, k], for each group."""

    mean: NDArray[np.float64]
    moments: NDArray[np.float64]

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Moments about the mean, [g, k, k]."""
        return self.moments - self.mean[:, :, None] * self.mean[:, None, :]


def grams(
    model: ir.Model, names: Sequence[str], passes: Passes, samples: int
) -> Iterator[tuple[str, Gram]]:
    """Name of a weighted node's output -> what it saw; those that are left out do not appear.

    Raises ConfigError when there are no samples or they are not finite.
    """
    copy = ir.serde.deserialize_model(ir.serde.serialize_model(model))
    explicit_pads(copy)
    wanted = set(names)
    nodes = {str(n.outputs[0].name): n for n in copy.graph if str(n.outputs[0].name) in wanted}
    fitting = {name: columns for name in names if (columns := _Columns.of(nodes[name])) is not None}
    for chosen in _sets(fitting):
        yield from _collect(copy, chosen, passes, samples)


@dataclass(frozen=True)
class _Columns:
    """How a node cuts its input into columns [count, g, k]."""

    source: str
    groups: int
    k: int
    kernel: tuple[int, ...] = ()  # () for Gemm and MatMul
    strides: tuple[int, ...] = ()
    dilations: tuple[int, ...] = ()
    pads: tuple[int, ...] = ()

    @staticmethod
    def of(node: ir.Node) -> _Columns | None:
        """None where they would be too long, or padding depends on the input."""
        weights = constant(node.inputs[1])
        source = node.inputs[0]
        if weights is None or source is None:
            return None
        if not is_op(node, "Conv"):
            k = weights.shape[1 if integer(node, "transB", 0) else 0]
            return _Columns(str(source.name), 1, k) if k <= LARGEST_COLUMN else None
        kernel = weights.shape[2:]
        k = int(np.prod(weights.shape[1:]))
        ones = [1] * len(kernel)
        if k > LARGEST_COLUMN or "auto_pad" in node.attributes:
            return None
        return _Columns(
            str(source.name),
            integer(node, "group", 1),
            k,
            kernel,
            tuple(integers(node, "strides") or ones),
            tuple(integers(node, "dilations") or ones),
            tuple(integers(node, "pads") or [0] * (2 * len(kernel))),
        )

    @property
    def bytes(self) -> int:
        return 8 * self.groups * self.k * self.k

    def cut(self, x: Floats, most: int, rng: np.random.Generator) -> Floats:
        """About `most` columns of x [n, c, ...] or [..., k], the same places in all its samples: [count, g, k]."""
        if not self.kernel:
            rows = x.reshape(-1, 1, self.k)
            return rows if len(rows) <= most else rows[_drawn(len(rows), most, rng)]
        spatial = len(self.kernel)
        around = [(self.pads[i], self.pads[i + spatial]) for i in range(spatial)]
        x = np.pad(x, [(0, 0), (0, 0), *around])
        spans = [d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        windows = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(2, 2 + spatial)))
        taken = [slice(None), slice(None)]
        taken += [slice(None, None, s) for s in self.strides]
        taken += [slice(None, None, d) for d in self.dilations]
        windows = windows[tuple(taken)]  # [n, c, *outputs, *kernel]
        outputs = windows.shape[2 : 2 + spatial]
        places = int(np.prod(outputs))
        chosen = _drawn(places, min(places, max(1, most // len(x))), rng)
        at = np.unravel_index(chosen, outputs)
        turned = np.moveaxis(windows, (0, 1), (spatial, spatial + 1))[at].swapaxes(
            0, 1
        )  # [n, p, c, *kernel]
        picked: Floats = turned.reshape(-1, self.groups, self.k)
        return picked


def _drawn(count: int, wanted: int, rng: np.random.Generator) -> NDArray[np.intp]:
    return np.arange(count) if wanted >= count else np.sort(rng.permutation(count)[:wanted])


def _sets(fitting: dict[str, _Columns]) -> Iterator[dict[str, _Columns]]:
    """Layers in order, as many at once as memory allows, at least one."""
    chosen: dict[str, _Columns] = {}
    total = 0
    for name, columns in fitting.items():
        if chosen and total + columns.bytes > SET_BYTES:
            yield chosen
            chosen, total = {}, 0
        chosen[name] = columns
        total += columns.bytes
    if chosen:
        yield chosen


def _collect(
    model: ir.Model, chosen: dict[str, _Columns], passes: Passes, samples: int
) -> Iterator[tuple[str, Gram]]:
    rng = np.random.default_rng(0)
    sources = sorted({columns.source for columns in chosen.values()})
    runner = runner_of(model, sources, passes)
    sums = {n: np.zeros((c.groups, c.k)) for n, c in chosen.items()}
    squares = {n: np.zeros((c.groups, c.k, c.k)) for n, c in chosen.items()}
    counts = dict.fromkeys(chosen, 0)
    for feed in chunks(passes, samples):
        for size, outputs in runner.run(feed):
            values = dict(zip(sources, outputs, strict=True))
            share = max(1, COLUMNS * size // samples)
            for name, columns in chosen.items():
                x = values[columns.source].astype(np.float32, copy=False)
                cut = columns.cut(x, share, rng)
                turned = np.moveaxis(cut, 1, 0)  # [g, count, k]
                sums[name] += turned.sum(axis=1, dtype=np.float64)
                squares[name] += np.moveaxis(turned, 1, 2) @ turned
                counts[name] += len(cut)
    for name, count in counts.items():
        yield name, Gram(sums.pop(name) / count, squares.pop(name) / count)

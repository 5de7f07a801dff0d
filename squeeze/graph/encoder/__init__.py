"""Finds an encoder in a graph, whoever exported it: its sizes and its weights. Of images `images.py` does; of texts, of
the kind of BERT, this module.

Taken: words, positions and segments looked up, added and normalised -> layers of attention whose queries, keys and
       values are linear layers cut into heads (one for all three, too), a residual sum and its normalisation, two
       linear layers with GELU or ReLU between, a residual sum and its normalisation -> the mean of the tokens, the
       first one, or all of them -> linear layers with Tanh, ReLU or GELU -> division by the norm, or that before the
       linear layers. Normalisation is one node, or eight.
       Layers may differ in the number of their heads and channels. Positions are those of tokens, or counted from the
       tokens that are no padding; one bias of relative positions may be added to all scores. A linear layer may widen
       embeddings to the width of the layers (ELECTRA, ALBERT).
Left:  normalisation before a layer, other positions, other sizes that vary between layers, decoders.

What stands between is not looked at closely: whoever takes the weights compares outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from squeeze.graph.encoder.counted import Counted, counted
from squeeze.graph.encoder.ending import read_ending
from squeeze.graph.encoder.halves import attention, feed_forward
from squeeze.graph.encoder.images import read_images
from squeeze.graph.encoder.lookups import (
    is_counted,
    kind_of,
    looked_up,
    only_row,
    sources,
    summands,
    table_of,
)
from squeeze.graph.encoder.parts import Norm, Weights, linear, norms_of, real_array
from squeeze.graph.encoder.relative import read_bias
from squeeze.graph.inference import infer_sizes
from squeeze.graph.passes.fold_constants import fold_constants
from squeeze.graph.passes.remove_identities import remove_identities
from squeeze.graph.qdq import Refused
from squeeze.graph.values import Array, is_op, producer

Json = dict[str, Any]  # Any: JSON


def read_encoder(model: ir.Model) -> tuple[Json, Weights]:
    """(parameters, state dict) of `students.Encoder` for `model`, which stays as it is.

    Raises Refused with what was not found, in a line.
    """
    model = model.clone()
    infer_sizes(model)
    for change in (fold_constants, remove_identities):
        if change(model):
            infer_sizes(model)
    norms = [found for node in model.graph for found in norms_of(node)]
    if not norms:
        raise Refused("it has no layer normalisation")
    if len(model.graph.outputs) != 1:
        raise Refused(f"it has {len(model.graph.outputs)} outputs")
    if _takes_images(model.graph):
        return read_images(model.graph, norms)
    return _Reader(model.graph, norms).read()


def _takes_images(graph: ir.Graph) -> bool:
    """Whether the only input is [n, channels, height, width]."""
    shapes = [value.shape for value in graph.inputs]
    return len(shapes) == 1 and shapes[0] is not None and len(shapes[0]) == 4


class _Reader:
    def __init__(self, graph: ir.Graph, norms: list[Norm]) -> None:
        self.graph = graph
        self.norms = {norm.output: norm for norm in norms}
        self.weights: Weights = {}
        self.biases: list[ir.Value | None] = []

    def read(self) -> tuple[Json, Weights]:
        first, lookups = self._embeddings()
        self.weights |= first.arrays("norm")
        x, wider = self._widened(first.output)
        hidden = wider or first.weight.size
        widths, kinds = list[Json](), set[tuple[Any, ...]]()
        while (found := self._layer(x, f"layers.{len(widths)}")) is not None:
            x, width, kind = found
            widths.append(width)
            kinds.add(kind)
        if not widths:
            raise Refused("no layer of attention follows its embeddings")
        if len(kinds) > 1:
            raise Refused("its layers have several sizes of heads, scales or activations")
        head_size, scale, activation = kinds.pop()
        widest = {key: max(width[key] for width in widths) for key in ("heads", "ffn")}
        ending, tail = read_ending(x, self.graph.outputs[0])
        params = {
            **lookups,
            "inputs": [str(v.name) for v in self.graph.inputs],
            "layers": len(widths),
            "hidden": hidden,
            "embedding": first.weight.size if wider else None,
            **widest,
            "each": [] if all(width == widest for width in widths) else widths,
            "head_size": head_size,
            "activation": activation,
            "eps": first.eps,
            "scale": scale,
            **self._relative(max(width["heads"] for width in widths)),
            **ending,
        }
        return params, self.weights | tail

    def _relative(self, heads: int) -> Json:
        """What the layers add to their scores, which is the same for all."""
        bias = self.biases[0]
        if any(other is not bias for other in self.biases):
            raise Refused("its layers add biases of their own to their scores")
        if bias is None:
            return {}
        found = read_bias(bias, heads)
        self.weights["relative.weight"] = found.table
        return {"distances": found.distances}

    def _embeddings(self) -> tuple[Norm, Json]:
        """The first normalisation, and what is looked up before it."""
        inputs = {str(v.name) for v in self.graph.inputs}
        for norm in self.norms.values():
            leaves = list(summands(norm.input))
            looked = [found for leaf in leaves if (found := looked_up(leaf)) is not None]
            if looked:
                break
        else:
            raise Refused("no rows of a table are added and normalised first")
        width = norm.weight.size
        tables: dict[str, Array] = {}
        names: Json = {"mask": None, "types": None}
        from_padding: Counted | None = None
        added = np.zeros(width, np.float64)
        for leaf in leaves:
            table, index = looked_up(leaf) or (table_of(leaf, width), None)
            if table is None:
                raise Refused("something else than rows of tables is added first")
            rows = table.reshape(-1, width)
            place = 0 if index is None and len(rows) == 1 else only_row(index)
            if place is not None:
                added += rows[place]
                continue
            read = {str(v.name) for v in sources(index) if v.is_graph_input()} & inputs
            places = counted(index)
            in_order = places is not None or index is None or is_counted(index)
            name = kind_of(read, tables, counted=in_order)
            if places is not None:
                # What comes before the row of padding is of no token.
                from_padding, rows = places, rows[places.first :]
            tables[name] = rows
            if name != "position":
                names["ids" if name == "word" else "types"] = read.pop()
        if "word" not in tables:
            raise Refused("the table of its words was not found")
        if "position" not in tables:
            raise Refused("the table of its positions was not found")
        tables["position"] = real_array(tables["position"]) + added
        self.weights |= {f"{name}.weight": real_array(table) for name, table in tables.items()}
        if from_padding is not None:
            if from_padding.ids.name != names["ids"]:
                raise Refused("its positions are counted from another input than its words")
            names["pad"] = from_padding.pad
        left = inputs - {names["ids"], names["types"]}
        if len(left) > 1:
            raise Refused(f"it takes {', '.join(sorted(left))} beside its words")
        names["mask"] = left.pop() if left else None
        counts = {"vocabulary": "word", "positions": "position", "segments": "segment"}
        return norm, names | {
            key: len(tables[name]) if name in tables else 0 for key, name in counts.items()
        }

    def _widened(self, x: ir.Value) -> tuple[ir.Value, int | None]:
        """What the first layer reads where a linear layer stands between it and `x`, and its width; else `x`."""
        if self._behind(x, attention) is not None:
            return x, None
        made = [use.node.outputs[0] for use in x.uses() if is_op(use.node, "MatMul", "Gemm")]
        made += [u.node.outputs[0] for v in made for u in v.uses() if is_op(u.node, "Add")]
        for value in made:
            found = linear(value)
            if found is None or found.source is not x:
                continue
            if self._behind(value, attention) is not None:
                self.weights |= found.arrays("project")
                return value, len(found.bias)
        return x, None

    def _layer(self, x: ir.Value, name: str) -> tuple[ir.Value, Json, tuple[Any, ...]] | None:
        """The output of the layer that reads `x`, its heads and channels, and what is to be that of all; None where
        none does."""
        first = self._behind(x, attention)
        if first is None:
            return None
        norm1, seen = first
        second = self._behind(norm1.output, feed_forward)
        if second is None:
            raise Refused("no two linear layers follow its attention")
        norm2, forward = second
        parts = {**seen.weights, **norm1.arrays("norm1"), **forward.weights}
        parts |= norm2.arrays("norm2")
        self.weights |= {f"{name}.{part}": value for part, value in parts.items()}
        self.biases.append(seen.bias)
        width = len(parts["query.bias"])
        kind = (width // seen.heads, seen.scale, forward.activation)
        return norm2.output, {"heads": seen.heads, "ffn": forward.width}, kind

    def _behind(self, x: ir.Value, find: Any) -> tuple[Norm, Any] | None:  # Any: of either kind
        """The normalisation of `x` plus what `find` finds of `x`."""
        for norm in self.norms.values():
            add = producer(norm.input, "Add")
            if add is None or x not in add.inputs:
                continue
            other = add.inputs[1] if add.inputs[0] is x else add.inputs[0]
            found = find(other)
            if found is not None and found.source is x:
                return norm, found
        return None

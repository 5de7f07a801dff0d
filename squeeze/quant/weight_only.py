"""Weights of matrix products in blocks of 4 or 8 bits, activations in float: for decoders, which read all of their
weights for each token, so that bytes are what they wait for.

    MatMul(x, W)  ->  com.microsoft MatMulNBits        Gemm(x, W, c)  ->  MatMulNBits, Add

The runtime has that operator on every CPU, without our library; it multiplies in int8 with a scale for each block of a
row (its accuracy level 4). Each block of 32 has a float scale, so that 4 bits take 5 for each weight.

Left: weights that anything else reads too, those of fewer than 4,096 numbers, Gemm with transposed x or factors, and
      products in bodies of If, Loop and Scan and in functions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from squeeze.graph.unread import remove_unread
from squeeze.graph.values import add_constant, constant, fresh, integer, is_op, names, tell_apart
from squeeze.note import Note
from squeeze.quant.prepared import Stored
from squeeze.quant.tables import quantise_tables
from squeeze.quant.weights.gptq import Blocked, error, rounded
from squeeze.quant.weights.gram import grams

if TYPE_CHECKING:
    from squeeze.feed import Passes
    from squeeze.progress import Progress

DOMAIN, OP = "com.microsoft", "MatMulNBits"
BLOCK = 32
LEAST_NUMBERS = 1 << 12
INT8_PRODUCTS = 4

Wide = NDArray[np.float64]


def in_blocks(
    model: ir.Model,
    passes: Passes,
    samples: int,
    *,
    bits: int,
    float_outputs: Collection[str] = (),
    progress: Progress,
) -> list[Note]:
    """Replaces products of `model` in place, and its embedding tables; a note for each.

    bits: 4 or 8. Weights are rounded for the outputs of their layers on the samples (GPTQ), or to nearest where that is
    nearer or their inputs are too many. float_outputs: first outputs of nodes that stay. Raises ConfigError when there
    are no samples or they are not finite.
    """
    layers = {str(node.outputs[0].name): node for node in _layers(model.graph, float_outputs)}
    notes: list[Note] = []
    taken = names(model.graph)
    seen = dict(grams(model, list(layers), passes, samples)) if layers else {}
    for done, (name, node) in enumerate(layers.items(), start=1):
        weights = _outputs_first(node)
        found, share = _nearer(weights, bits, seen[name].moments[0] if name in seen else None)
        _put(model.graph, node, found, taken)
        why = f"{name}: {bits} bits in blocks of {BLOCK}"
        why += "" if share is None else f", {100 * share:.2f} % of its outputs' second moments"
        notes.append(
            Note("weights in blocks", True, why, {} if share is None else {"error": share})
        )
        progress.update(done, len(layers), "products in blocks")
    if layers:
        model.graph.opset_imports.setdefault(DOMAIN, 1)
    notes += Stored(quantise_tables(model.graph, float_outputs, bits), {}).notes()
    if notes:
        remove_unread(model)
        tell_apart(model)
    return notes


def _layers(graph: ir.Graph, float_outputs: Collection[str]) -> Iterator[ir.Node]:
    for node in graph:
        if not is_op(node, "MatMul", "Gemm") or node.outputs[0].name in float_outputs:
            continue
        value = node.inputs[1]
        weights = constant(value)
        plain = is_op(node, "MatMul") or not (
            integer(node, "transA", 0)
            or any(_factor(node, name) != 1.0 for name in ("alpha", "beta"))
        )
        if (
            plain
            and value is not None
            and weights is not None
            and weights.ndim == 2
            and weights.dtype == np.float32
            and weights.size >= LEAST_NUMBERS
            and np.isfinite(weights).all()
            and len(value.uses()) == 1
            and not value.is_graph_output()
        ):
            yield node


def _factor(node: ir.Node, name: str) -> float:
    given = node.attributes.get(name)
    return 1.0 if given is None else float(given.as_float())


def _outputs_first(node: ir.Node) -> Wide:
    """Its weights [o, k]."""
    weights = constant(node.inputs[1])
    assert weights is not None
    turned = weights if integer(node, "transB", 0) else weights.T
    return turned.astype(np.float64)


def _nearer(weights: Wide, bits: int, moments: Wide | None) -> tuple[Blocked, float | None]:
    """The rounding of less error of the layer's outputs, and that error as a share of them where it is known."""
    nearest = rounded(weights, bits, BLOCK)
    if moments is None:
        return nearest, None
    others = [nearest, rounded(weights, bits, BLOCK, moments)]
    errors = [error(weights, one, moments) for one in others]
    best = int(np.argmin(errors))
    return others[best], errors[best]


def _put(graph: ir.Graph, node: ir.Node, found: Blocked, taken: set[str]) -> None:
    """The product in place of `node`."""

    def unique(wanted: str) -> str:
        made = fresh(wanted, taken)
        taken.add(made)
        return made

    value, old = node.inputs[1], node.outputs[0]
    assert value is not None
    outputs, k = found.integers.shape
    packed = add_constant(graph, unique(f"{value.name}_{found.bits}bit"), _packed(found))
    scales = add_constant(graph, unique(f"{value.name}_scales"), found.scales.reshape(-1))
    attributes = {
        "K": k,
        "N": outputs,
        "bits": found.bits,
        "block_size": found.block,
        "accuracy_level": INT8_PRODUCTS,
    }
    product = ir.Node(
        DOMAIN,
        OP,
        [node.inputs[0], packed, scales],
        [ir.AttrInt64(name, number) for name, number in attributes.items()],
        name=node.name,
    )
    made = [product]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    if bias is not None:
        made.append(ir.Node("", "Add", [product.outputs[0], bias], name=unique(f"{old.name}_add")))
    for one in made:
        one.outputs[0].type, one.outputs[0].shape = old.type, old.shape
    product.outputs[0].name = unique(f"{old.name}_product")
    graph.insert_before(node, made)
    name = old.name
    ir.convenience.replace_all_uses_with(old, made[-1].outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)
    made[-1].outputs[0].name = name


def _packed(found: Blocked) -> NDArray[np.uint8]:
    """[o, blocks, bytes of a block], the first of two weights of a byte in its lower half; what is missing in the last
    block is zero."""
    outputs, k = found.integers.shape
    blocks = found.scales.shape[1]
    zero = 1 << (found.bits - 1)
    filled = np.full((outputs, blocks * found.block), zero, np.uint8)
    filled[:, :k] = found.integers
    if found.bits == 4:
        filled = filled[:, 0::2] | (filled[:, 1::2] << 4)
    return filled.reshape(outputs, blocks, -1)

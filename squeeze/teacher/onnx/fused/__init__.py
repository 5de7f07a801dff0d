"""Nodes that onnxruntime's optimisers fuse (com.microsoft) taken apart into standard ones.

Nothing behind such a node has a known type or shape, no quantiser knows it, and other runtimes do not have it; the
runtime fuses again what it runs. A graph whose result would change stays as it is, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnx import ValueInfoProto, checker, version_converter

from squeeze.errors import ConfigError
from squeeze.teacher.onnx.fused import (
    activated,
    activation,
    attention,
    embedding,
    normalisation,
    product,
)
from squeeze.teacher.onnx.fused.parts import Parts
from squeeze.teacher.onnx.opset import HIGHEST_OPSET, opset_of
from squeeze.teacher.onnx.runtime import one_run, output_names, run_values, same

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import onnx

    from squeeze.teacher.example import Fitted

logger = logging.getLogger(__name__)

DOMAIN = "com.microsoft"
Expand = Callable[[Parts], bool]

EXPANSIONS: dict[str, Expand] = {
    "Attention": attention.attention,
    "BiasGelu": activation.gelu,
    "EmbedLayerNormalization": embedding.embed_layer_normalization,
    "FastGelu": activation.gelu,
    "FusedConv": activated.fused_conv,
    "FusedGemm": activated.fused_gemm,
    "FusedMatMul": product.fused_mat_mul,
    "Gelu": activation.gelu,
    "LayerNormalization": normalisation.layer_normalization,
    "QuickGelu": activation.quick_gelu,
    "SimplifiedLayerNormalization": normalisation.simplified_layer_normalization,
    "SkipLayerNormalization": normalisation.skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": normalisation.skip_simplified_layer_normalization,
}
# Values whose ranks an expansion asks for.
_RANKS: dict[str, Callable[[Parts], list[str]]] = {
    "Attention": attention.asked,
    "FusedMatMul": product.asked,
}
# What the runtime knows under a standard name, and the first opset that has it; None where none has.
STANDARD_NAMES: dict[str, int | None] = {
    "LayerNormalization": 17,
    "SimplifiedLayerNormalization": None,
}


def is_fused(node: onnx.NodeProto, opset: int) -> bool:
    """Whether the node is one of the runtime's own, in a graph of standard `opset`."""
    if node.domain == DOMAIN:
        return node.op_type in EXPANSIONS
    if node.domain not in ("", "ai.onnx") or node.op_type not in STANDARD_NAMES:
        return False
    since = STANDARD_NAMES[node.op_type]
    return since is None or opset < since


def taken_apart(
    model: onnx.ModelProto, inputs: Sequence[Fitted], where: str
) -> tuple[onnx.ModelProto, str | None]:
    """`model` without fused nodes as far as they are known, and what was done in words; None where there are none."""
    opset = opset_of(model)
    fused = [node.op_type for node in model.graph.node if is_fused(node, opset)]
    if not fused:
        return model, None
    kinds = ", ".join(sorted(set(fused)))
    try:
        made, count = _expanded(model, _ranks(model, inputs, where), opset)
        names, feed = output_names(model), one_run(model, inputs)
        before, after = (run_values(m, feed, names, where) for m in (model, made))
        other = next((name for name in names if not same(before[name], after[name])), None)
        reason = "" if other is None else f"output '{other}' would change"
    except (ConfigError, RuntimeError, ValueError, checker.ValidationError) as e:
        reason = str(e).strip().removeprefix(f"{where}: ").splitlines()[0][:300]
    if reason:
        logger.warning("%s: fused nodes (%s) stay as they are: %s", where, kinds, reason)
        return model, None
    if count == 0:
        return model, None
    said = f"{count} of {len(fused)} fused nodes ({kinds}) taken apart into standard ones"
    now = opset_of(made)
    return made, said if now == opset else f"{said}, opset {opset} converted to {now}"


def _ranks(model: onnx.ModelProto, inputs: Sequence[Fitted], where: str) -> dict[str, int]:
    """How many axes the values have that expansions ask for, found by running the file."""
    stored = {t.name: t for t in model.graph.initializer}
    asked = [
        name
        for node in model.graph.node
        if is_fused(node, opset_of(model)) and node.op_type in _RANKS
        for name in _RANKS[node.op_type](Parts(node, stored, {}, {}))
    ]
    ranks = {name: len(stored[name].dims) for name in asked if name in stored}
    named = {v.name: v for v in model.graph.input}
    ranks |= {n: len(named[n].type.tensor_type.shape.dim) for n in asked if n in named}
    computed = sorted(set(asked) - set(ranks))
    if computed:
        copied = type(model)()
        copied.CopyFrom(model)
        outputs = set(output_names(model))
        copied.graph.output.extend(ValueInfoProto(name=n) for n in computed if n not in outputs)
        values = run_values(copied, one_run(copied, inputs), computed, where)
        ranks |= {name: value.ndim for name, value in values.items()}
    return ranks


def _expanded(
    model: onnx.ModelProto, ranks: Mapping[str, int], opset: int
) -> tuple[onnx.ModelProto, int]:
    """A copy at the highest opset, which has what stands for them, and how many nodes were taken apart."""
    copied = type(model)()
    copied.CopyFrom(model)
    for node in copied.graph.node:
        if is_fused(node, opset):
            node.domain = DOMAIN  # or the converter would look for them in the standard
    del copied.graph.value_info[:]
    if opset < HIGHEST_OPSET:
        copied = version_converter.convert_version(copied, HIGHEST_OPSET)
    graph = copied.graph
    stored = {t.name: t for t in graph.initializer}
    nodes, count = [], 0
    shared: dict[Hashable, str] = {}
    for node in graph.node:
        parts = Parts(node, stored, ranks, shared)
        if node.domain == DOMAIN and node.op_type in EXPANSIONS and EXPANSIONS[node.op_type](parts):
            nodes += parts.nodes
            graph.initializer.extend(parts.tensors)
            shared = parts.made
            count += 1
        else:
            if node.domain == DOMAIN and node.op_type in STANDARD_NAMES:
                node.domain = ""
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in graph.node for name in node.input} | set(output_names(copied))
    unread = [t for t in graph.initializer if t.name not in read]
    for tensor in unread:
        graph.initializer.remove(tensor)
    if not any(node.domain == DOMAIN for node in graph.node):
        kept = [o for o in copied.opset_import if o.domain != DOMAIN]
        del copied.opset_import[:]
        copied.opset_import.extend(kept)
    return copied, count

"""Fused nodes taken apart into plain ones: those of onnxruntime's optimisers (com.microsoft), and those that ONNX has
since opset 23.

Nothing behind such a node has a known type or shape, no quantiser knows it, and other runtimes do not have it; the
runtime fuses again what it runs. A node that stays is told with the reason, and a graph whose result would change stays
as it is, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from onnx import ValueInfoProto, checker, version_converter
from onnx.numpy_helper import to_array

from squeeze.errors import ConfigError
from squeeze.teacher.onnx.fused import (
    activated,
    activation,
    attention,
    embedding,
    multi_head,
    normalisation,
    product,
    rotary,
    standard_attention,
)
from squeeze.teacher.onnx.fused.parts import Kept, Parts, Seen
from squeeze.teacher.onnx.opset import HIGHEST_OPSET, opset_of
from squeeze.teacher.onnx.runtime import one_run, output_names, run_values, same

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    import onnx

    from squeeze.teacher.example import Fitted

logger = logging.getLogger(__name__)

DOMAIN = "com.microsoft"
Expand = Callable[[Parts], None]  # raises Kept
Ask = Callable[[Parts], list[str]]

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
    "MultiHeadAttention": multi_head.multi_head_attention,
    "QuickGelu": activation.quick_gelu,
    "RotaryEmbedding": rotary.of_the_runtime,
    "SimplifiedLayerNormalization": normalisation.simplified_layer_normalization,
    "SkipLayerNormalization": normalisation.skip_layer_normalization,
    "SkipSimplifiedLayerNormalization": normalisation.skip_simplified_layer_normalization,
}
# Values whose axes an expansion asks for.
_ASKED: dict[str, Ask] = {
    "Attention": attention.asked,
    "FusedMatMul": product.asked,
    "MultiHeadAttention": multi_head.asked,
    "RotaryEmbedding": rotary.asked_by_the_runtime,
}
# Those of ONNX itself, which converters to opset 20 do not know.
_SINCE = 23
_STANDARD: dict[str, Expand] = {
    "Attention": standard_attention.attention,
    "RMSNormalization": normalisation.simplified_layer_normalization,
    "RotaryEmbedding": rotary.of_the_standard,
}
_ASKED_OF_STANDARD: dict[str, Ask] = {
    "Attention": standard_attention.asked,
    "RotaryEmbedding": rotary.asked_by_the_standard,
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


def _expansion(node: onnx.NodeProto, opset: int) -> tuple[Expand, Ask | None] | None:
    """How the node is taken apart, and what has to be known for it; None for one that is not fused."""
    kind = node.op_type
    if is_fused(node, opset):
        return EXPANSIONS[kind], _ASKED.get(kind)
    if node.domain in ("", "ai.onnx") and opset >= _SINCE and kind in _STANDARD:
        return _STANDARD[kind], _ASKED_OF_STANDARD.get(kind)
    return None


def taken_apart(
    model: onnx.ModelProto, inputs: Sequence[Fitted], where: str
) -> tuple[onnx.ModelProto, str | None]:
    """`model` without fused nodes as far as they are known, and what was done in words; None where there are none."""
    opset = opset_of(model)
    fused = [node.op_type for node in model.graph.node if _expansion(node, opset)]
    if not fused:
        return model, None
    kinds = ", ".join(sorted(set(fused)))
    try:
        made, kept = _expanded(model, _seen(model, inputs, where), opset)
        names, feed = output_names(model), one_run(model, inputs)
        before, after = (run_values(m, feed, names, where) for m in (model, made))
        other = next((name for name in names if not same(before[name], after[name])), None)
        reason = "" if other is None else f"output '{other}' would change"
    except (ConfigError, RuntimeError, ValueError, checker.ValidationError) as e:
        reason = str(e).strip().removeprefix(f"{where}: ").splitlines()[0][:300]
    if reason:
        logger.warning("%s: fused nodes (%s) stay as they are: %s", where, kinds, reason)
        return model, None
    if kept:
        logger.warning(
            "%s: %d of %d fused nodes stay as they are, in float: %s",
            *(where, len(kept), len(fused), "; ".join(dict.fromkeys(kept))),
        )
    count = len(fused) - len(kept)
    if count == 0:
        return model, None
    said = f"{count} of {len(fused)} fused nodes ({kinds}) taken apart into standard ones"
    now = opset_of(made)
    return made, said if now == opset else f"{said}, opset {opset} converted to {now}"


def _seen(model: onnx.ModelProto, inputs: Sequence[Fitted], where: str) -> dict[str, Seen]:
    """The values that expansions ask for, as a run of the file has them."""
    opset, stored = opset_of(model), {t.name: t for t in model.graph.initializer}
    asked = list[str]()
    for node in model.graph.node:
        expansion = _expansion(node, opset)
        if expansion is not None and expansion[1] is not None:
            asked += expansion[1](Parts(node, stored, {}, {}))
    feed = one_run(model, inputs)
    values = {name: feed[name] for name in asked if name in feed}
    values |= {name: to_array(stored[name]) for name in asked if name in stored}
    computed = sorted(set(asked) - set(values))
    if computed:
        copied = type(model)()
        copied.CopyFrom(model)
        outputs = set(output_names(model))
        copied.graph.output.extend(ValueInfoProto(name=n) for n in computed if n not in outputs)
        values |= run_values(copied, feed, computed, where)
    return {name: Seen(value.shape, value.dtype.kind) for name, value in values.items()}


def _expanded(
    model: onnx.ModelProto, seen: Mapping[str, Seen], opset: int
) -> tuple[onnx.ModelProto, list[str]]:
    """A copy at the highest opset that it converts to, which has what stands for them; the nodes that stay, with the
    reason."""
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
    nodes: list[onnx.NodeProto] = []
    kept = list[str]()
    shared: dict[Hashable, str] = {}
    for node in graph.node:
        expansion, parts = _expansion(node, opset), Parts(node, stored, seen, shared)
        try:
            if expansion is not None:
                expansion[0](parts)
        except Kept as why:
            kept.append(f"{node.op_type} ({why})")
            expansion = None
        if expansion is None:
            if node.domain == DOMAIN and node.op_type in STANDARD_NAMES:
                node.domain = ""
            nodes.append(node)
            continue
        nodes += parts.nodes
        graph.initializer.extend(parts.tensors)
        shared = parts.made
    del graph.node[:]
    graph.node.extend(nodes)
    read = {name for node in graph.node for name in node.input} | set(output_names(copied))
    unread = [t for t in graph.initializer if t.name not in read]
    for tensor in unread:
        graph.initializer.remove(tensor)
    if not any(node.domain == DOMAIN for node in graph.node):
        imported = [o for o in copied.opset_import if o.domain != DOMAIN]
        del copied.opset_import[:]
        copied.opset_import.extend(imported)
    return copied, kept

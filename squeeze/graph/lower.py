"""Replaces QDQ patterns by our native ops, each with its ONNX body, so that the file still runs everywhere.

First the graph is brought into one form, whoever wrote it; then each kind of op says which nodes it can make; then the
layout is decided and the nodes are put in. Every step leaves what it does not understand, and the notes say why.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass, RemoveUnusedNodesPass

from squeeze import ops
from squeeze.graph import layout, lookups
from squeeze.graph.inference import forget_others, named_sizes
from squeeze.graph.layout import Planned, Unit
from squeeze.graph.passes import (
    channel_scales,
    code_weights,
    explicit_pads,
    float_inside,
    fold_pad,
    fuse_global_pool,
    integer_moves,
    lower_add,
    lower_add_norm,
    lower_attention,
    lower_by_row,
    lower_codebook,
    lower_concat,
    lower_lookup,
    lower_pool,
    lower_qconv,
    lower_qgemm,
    lower_real_lookup,
    lower_selection,
    lower_table,
    read_sizes_early,
    remove_identities,
    standard_quantisers,
    u8_activations,
    use_flatten,
)
from squeeze.graph.qdq import Reasons
from squeeze.graph.values import integer, tell_apart
from squeeze.note import Note

# Functions inside a model exist since then.
LEAST_IR_VERSION = 8
# One form for all writers. These tell nobody: they change how a graph is written.
SPELLING: tuple[Callable[[ir.Model], bool], ...] = (
    standard_quantisers.standard_quantisers,
    remove_identities.remove_identities,
    explicit_pads.explicit_pads,
    fold_pad.fold_pad,
    fuse_global_pool.fuse_global_pool,
    use_flatten.use_flatten,
    read_sizes_early.read_sizes_early,
)
# These change integers or where they are made, and what they did is said.
PREPARATION: dict[str, tuple[Callable[[ir.Model], int], str]] = {
    "integers move": (
        integer_moves.integer_moves,
        "{} times an operator that moves numbers moves integers now",
    ),
    "float inside": (
        float_inside.float_inside,
        "{} times an operator that computes in float reads numbers that are not rounded before",
    ),
    "one scale": (
        channel_scales.channel_scales,
        "{} activations with a scale per channel got one; the weights on both sides took it over",
    ),
    "u8": (u8_activations.u8_activations, "{} s8 activations are u8, zero points moved by 128"),
}
# What makes nodes of our own accord, in this order, and what only keeps a chain of them unbroken.
PRODUCTS = (
    lower_qconv.find,
    lower_qgemm.find,
    lower_by_row.find,
    lower_attention.find,
    lower_add_norm.find,
    lower_real_lookup.find,
    lower_table.find,
)
LINKS = (lower_selection.find, lower_pool.find, lower_add.find, lower_concat.find)
# Parts that may be left out, because another runtime's own may be faster on a machine; the riskiest first.
FAMILIES = (
    lower_lookup.FAMILY,
    lower_qgemm.FAMILY,
    lower_qgemm.REAL,
    lower_by_row.FAMILY,
    lower_attention.FAMILY,
    lower_real_lookup.FAMILY,
    lower_add_norm.FAMILY,
    lower_qconv.GROUPED,
    lower_concat.FAMILY,
    lower_pool.FAMILY,
    lower_add.FAMILY,
    lower_qconv.DENSE,
    lower_table.FAMILY,
)
# Layers in packed codes. They are made for the size of the file, so that no timing leaves them out.
PACKED = code_weights.FAMILY


def lower(model: ir.Model, without: Collection[str] = ()) -> tuple[ir.Model, list[Note]]:
    """A new model with nodes of our domain, their function bodies and shapes of all values; and notes.

    `model` is left as it is. `without` names members of FAMILIES that are not made. Layers whose weights use few values
    are made all the same, as codebook ops, where that makes the file smaller, unless PACKED is named too. There is a
    note for each kind of node that was made, and for each reason why something was left alone.
    """
    lowered, given = _with_shapes(model), named_sizes(model)
    LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(lowered)
    for spell in SPELLING:
        spell(lowered)
    lowered = _with_shapes(lowered)
    notes: list[Note] = []
    for name, (prepare, words) in PREPARATION.items():
        if count := prepare(lowered):
            notes.append(Note(name, True, words.format(count)))
            RemoveUnusedNodesPass()(lowered)  # a dead reader is a reader to whoever asks
    planned, refused = _plan(lowered.graph, without)
    if not planned:
        plain = _with_shapes(model)
        forget_others(plain, given)
        return plain, _left(refused)
    layout.emit(lowered.graph, planned)
    tell_apart(lowered)
    _add_functions(lowered, planned)
    RemoveUnusedNodesPass()(lowered)
    forget_others(lowered, given)
    return lowered, [*_made(planned), *notes, *_left(refused)]


def made(model: ir.Model) -> dict[str, int]:
    """Members of FAMILIES, and PACKED -> how many nodes of ours a lowered model has of them."""
    found: Counter[str] = Counter()
    for node in model.graph:
        if node.domain != ops.DOMAIN:
            continue
        if node.op_type in ops.GATHERS.values():
            found[lower_table.FAMILY] += 1
        elif "Codebook" in node.op_type:
            found[PACKED] += 1
        elif node.op_type.startswith("QConv"):
            dense = integer(node, "group", 1) == 1
            found[lower_qconv.DENSE if dense else lower_qconv.GROUPED] += 1
        elif node.op_type in (lower_qgemm.REAL, lower_by_row.FAMILY):
            found[node.op_type] += 1
        elif node.op_type.startswith("QGemm"):
            found[lower_qgemm.FAMILY] += 1
        elif node.op_type.startswith("QLookup"):
            found[lower_lookup.FAMILY] += 1
        elif node.op_type in ops.REAL_LOOKUPS:
            found[lower_real_lookup.FAMILY] += 1
        elif node.op_type.startswith("QAttention"):
            found[lower_attention.FAMILY] += 1
        elif node.op_type.startswith(("QAddNorm", "QAddRmsNorm")):
            found[lower_add_norm.FAMILY] += 1
        else:
            found[lower_pool.FAMILY if "Pool" in node.op_type else node.op_type] += 1
    return dict(found)


def _plan(graph: ir.Graph, without: Collection[str]) -> tuple[list[Planned], dict[str, Reasons]]:
    """The nodes to be made, in the order of the graph; what made them -> what was left alone, and why."""
    refused: dict[str, Reasons] = {}
    products = _found(PRODUCTS, graph, refused)
    links = [unit for unit in _found(LINKS, graph, refused) if unit[0].family not in without]
    coded: dict[ir.Value, Unit] = {}
    if PACKED not in without:
        coded, floats = _coded(graph, products, links, refused)
        products += floats
    products = [u for u in products if u[0].family not in without or _result(u) in coded]
    ends = {unit[-1].last for unit in products}
    links = [unit for unit in links if unit[-1].last not in ends]
    linked = _linked(products, links)
    alone = _alone(graph, [*products, *linked]) if lower_lookup.FAMILY not in without else []
    order = {node: i for i, node in enumerate(graph)}
    units = sorted([*products, *linked, *alone], key=lambda unit: order[unit[-1].last])
    named, unnamed = lookups.named([coded.get(_result(unit), unit) for unit in units])
    refused["functions"] = unnamed
    return [plan for unit in named for plan in unit], refused


def _alone(graph: ir.Graph, units: Sequence[Unit]) -> list[Unit]:
    """The functions that stand between two tensors where none of `units` has taken them."""
    taken: set[ir.Node] = set()
    for unit in units:
        waiting, read = [unit[-1].last], _read(unit)
        while waiting:
            node = waiting.pop()
            # What dequantises a tensor that the unit reads is there for its other readers too.
            if node not in taken and node.inputs[0] not in read:
                taken.add(node)
                makers = [v.producer() for v in node.inputs if v is not None and v not in read]
                waiting += [made for made in makers if made is not None]
    return lower_lookup.find(graph, taken, {_result(unit) for unit in units})


def _linked(products: Iterable[Unit], links: Iterable[Unit]) -> list[Unit]:
    """The `links` that read what one of ours makes, or what such a link makes."""
    waiting = {_result(unit): unit for unit in links}
    made = {_result(unit) for unit in products}
    linked: list[Unit] = []
    while near := [y for y, unit in waiting.items() if made & _read(unit)]:
        linked += [waiting.pop(y) for y in near]
        made.update(near)
    return linked


def _result(unit: Unit) -> ir.Value:
    return unit[-1].y


def _read(unit: Unit) -> set[ir.Value]:
    """The tensors that it reads; those between its own nodes are nobody else's."""
    return {value for plan in unit for value in plan.tensors()}


def _found(
    finders: Iterable[Callable[[ir.Graph], tuple[list[Unit], Reasons]]],
    graph: ir.Graph,
    refused: dict[str, Reasons],
) -> list[Unit]:
    units: list[Unit] = []
    for find in finders:
        found, reasons = find(graph)
        units += found
        refused[find.__module__.rpartition(".")[2].replace("_", " ")] = reasons
    return units


def _coded(
    graph: ir.Graph,
    products: Iterable[Unit],
    links: Iterable[Unit],
    refused: dict[str, Reasons],
) -> tuple[dict[ir.Value, Unit], list[Unit]]:
    """Result -> the coded form of the unit that makes it, where that pays; and the units that no int8 op is there for.

    What such units take is no longer refused. A link, whose weights were not trained, is no reason for a codebook op,
    but becomes one where the file has it anyway.
    """
    found = [c for unit in products if (c := code_weights.coded(unit)) is not None]
    left = [node for reasons in refused.values() for node in reasons]
    floats = lower_codebook.find(left)
    paying = code_weights.paying([*found, *floats.values()], graph.opset_imports[""])
    there = {one.nodes[0].op_type for one in paying}
    further = [c for unit in links if (c := code_weights.coded(unit)) is not None]
    paying += [one for one in further if one.nodes[0].op_type in there]
    by_result = {_result(one.nodes): one.nodes for one in paying}
    made = {node: one.nodes for node, one in floats.items() if _result(one.nodes) in by_result}
    for reasons in refused.values():
        for node in made:
            reasons.pop(node, None)
    return by_result, list(made.values())


def _add_functions(model: ir.Model, planned: Iterable[Planned]) -> None:
    opset = model.graph.opset_imports[""]
    for plan in sorted(planned, key=lambda plan: plan.op_type):
        if plan.domain == ops.DOMAIN and (plan.domain, plan.op_type, "") not in model.functions:
            function = ops.body_of(plan.op_type, ops.DOMAIN, opset, plan.formula)
            model.functions[function.identifier()] = function
    model.graph.opset_imports[ops.DOMAIN] = ops.VERSION
    model.ir_version = max(model.ir_version, LEAST_IR_VERSION)


def _with_shapes(model: ir.Model) -> ir.Model:
    """A copy with the shapes that follow from the graph; a file may declare wrong ones inside it and still run.

    What is declared counts where nothing follows, and of the outputs, which are the user's.
    """
    proto = ir.serde.serialize_model(model)
    inside, outputs = list(proto.graph.value_info), list(proto.graph.output)
    del proto.graph.value_info[:]
    del proto.graph.output[:]
    proto.graph.output.extend(onnx.ValueInfoProto(name=output.name) for output in outputs)
    with contextlib.suppress(onnx.shape_inference.InferenceError):
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    outputs = [
        given if _has_shape(given) or not _has_shape(found) else found
        for given, found in zip(outputs, list(proto.graph.output), strict=True)
    ]
    known = {value.name for value in proto.graph.value_info}
    proto.graph.value_info.extend(value for value in inside if value.name not in known)
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    return ir.serde.deserialize_model(proto)


def _has_shape(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.HasField("shape"))


def _made(planned: list[Planned]) -> list[Note]:
    counts = Counter(p.op_type for p in planned if p.domain == ops.DOMAIN)
    words = {p.op_type: f": {p.formula.words}" for p in planned if p.formula is not None}
    notes = [
        Note(f"lower {op}", True, f"{counts[op]} made{words.get(op, '')}") for op in sorted(counts)
    ]
    if coded := [p for p in planned if "codebooks" in p.inputs]:
        bits = Counter(b for p in coded if isinstance(b := p.attributes["bits"], int))
        why = ", ".join(f"{bits[b]} layers in {b} bits" for b in sorted(bits))
        notes.append(Note("packed weights", True, why, _bytes(coded)))
    if flat := sum(p.flat for p in planned):
        why = (
            f"{flat} weigh all keys alike, as the file does: the steps of its scores with their mask make 0 of all "
            "scores. Quantise it without these sums and Softmax"
        )
        notes.append(Note("lower attention", True, why))
    if rounded := sum(p.rounded_bias for p in planned):
        why = (
            f"{rounded} float biases are int32 now, off by half a step of x_scale * w_scale at most"
        )
        notes.append(Note("lower bias", True, why))
    return notes


def _bytes(coded: list[Planned]) -> dict[str, int]:
    """Of the weights: packed, with their codebooks, and in 8 bits each."""
    stored = [p.inputs[name] for p in coded for name in ("indices", "codebooks")]
    packed = sum(a.nbytes for a in stored if not isinstance(a, ir.Value))
    shapes = [p.attributes["w_shape"] for p in coded]
    whole = sum(math.prod(shape) for shape in shapes if isinstance(shape, (list, tuple)))
    return {"packed_bytes": packed, "int8_bytes": whole}


def _left(refused: dict[str, Reasons]) -> list[Note]:
    return [
        Note(name, False, f"{count} left alone: {reason}")
        for name, reasons in refused.items()
        for reason, count in Counter(reasons.values()).items()
    ]

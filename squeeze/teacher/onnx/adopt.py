"""Any ONNX graph -> the one form that squeeze works on: float32 inside, opset 13 to 20, sizes known, batch free.

Names and types of inputs and outputs stay the user's. Each change is compared with what the graph computed before it,
over all outputs; one that changes a result is refused or undone. What was changed is said in words.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from squeeze.export.ends import retype_ends
from squeeze.interface import Interface
from squeeze.teacher.example import Fitted, fit_inputs
from squeeze.teacher.onnx.batch import free_batch
from squeeze.teacher.onnx.examine import census, interface_of, taps_of
from squeeze.teacher.onnx.external import all_nodes
from squeeze.teacher.onnx.float32 import as_float32, in_float32
from squeeze.teacher.onnx.operators import check_operators
from squeeze.teacher.onnx.opset import HIGHEST_OPSET, at_opset, opset_of
from squeeze.teacher.onnx.signature import declare_outputs, declared, fix_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.feed import Feed
    from squeeze.teacher.declared import Declared
    from squeeze.teacher.onnx.taps import Activation, Taps

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Adopted:
    """A graph in squeeze's form, and what was found in it. changes: what was done to the user's, in words."""

    model: onnx.ModelProto
    interface: Interface
    output_activation: Activation
    taps: Taps
    census: dict[str, int]
    changes: tuple[str, ...]


def adopt_file(model: onnx.ModelProto, example: Feed | None, where: str) -> Adopted:
    """Brings the `model` of a file into squeeze's form and tries it on `example` (generated where None).

    Raises ConfigError when it is invalid, does not fit the example or gives NaN or infinity; UnsupportedError when
    squeeze cannot work on it. The message names the node, the value or both shapes.
    """
    model = check_operators(model, where)
    inputs = fit_inputs([declared(v) for v in model.graph.input], example, where)
    changes = _narrowed(model)
    fix_sizes(model.graph, inputs)
    return _adopt(model, inputs, [declared(v) for v in model.graph.output], changes, where)


def adopt_export(
    model: onnx.ModelProto,
    inputs: Sequence[Fitted],
    outputs: Sequence[Declared],
    changes: Sequence[str],
    where: str,
) -> Adopted:
    """The same for a graph that was exported for `inputs`; outputs: as the module that it was made from has them."""
    types = {one.spec.dtype for one in inputs} | {one.dtype for one in outputs}
    said = [in_float32(types)] if types & {"float16", "float64"} else []
    return _adopt(check_operators(model, where), inputs, outputs, [*changes, *said], where)


def _adopt(
    model: onnx.ModelProto,
    inputs: Sequence[Fitted],
    outputs: Sequence[Declared],
    changes: Sequence[str],
    where: str,
) -> Adopted:
    model, floats = as_float32(model, inputs, where)
    model, opset = at_opset(model, inputs, where)
    batched = free_batch(model, inputs, where)
    model = batched.model
    _tidy(model)
    interface = interface_of(batched, inputs, {d.name: d for d in outputs}, where)
    declare_outputs(model.graph, interface, batched.declared)
    model = _with_types(model, interface)
    kind, taps = taps_of(model, interface, inputs, where)
    said = [*_sizes(inputs), *changes, floats, opset, _batch(inputs, interface)]
    kept = tuple(dict.fromkeys(change for change in said if change is not None))
    for change in kept:
        logger.info("%s: %s", where, change)
    return Adopted(model, interface, kind, taps, census(model.graph), kept)


def _sizes(inputs: Sequence[Fitted]) -> list[str]:
    return [
        f"size {repr(name) if name else f'{index} of a sample'} of input '{one.spec.name}' may vary in your file; "
        f"fixed to {one.spec.shape[index]} as in the data"
        for one in inputs
        for index, name in one.spec.free
    ]


def _batch(inputs: Sequence[Fitted], interface: Interface) -> str | None:
    """What became of the batch that the user's model has."""
    specs = [one.spec for one in inputs]
    before, after = Interface(tuple(specs), ()).batch_size, interface.batch_size
    alone = any(spec.batch_axis is None for spec in specs)
    if before == after or alone:
        return None
    if after is None:
        return f"the batch, {before} in your file, may be any number"
    return f"the batch is fixed to {after}: several samples at once give something else"


def _narrowed(model: onnx.ModelProto) -> list[str]:
    """Inputs and outputs that cannot keep their type."""
    return [
        f"{role} '{value.name}': bfloat16 -> float32"
        for role, values in (("input", model.graph.input), ("output", model.graph.output))
        for value in values
        if value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16
    ]


def _with_types(model: onnx.ModelProto, interface: Interface) -> onnx.ModelProto:
    """`model` with the user's types at its ends."""
    if all(s.dtype not in ("float16", "float64") for s in (*interface.inputs, *interface.outputs)):
        return model
    graph = ir.serde.deserialize_model(model)
    retype_ends(graph, interface)
    return ir.serde.serialize_model(graph)


def _tidy(model: onnx.ModelProto) -> None:
    """Removes what says where and when a file was made, in place; lowers the IR version for old runtimes."""
    model.producer_name, model.producer_version, model.doc_string = "squeeze", "", ""
    del model.metadata_props[:]
    model.graph.doc_string = ""
    for node in all_nodes(model.graph):
        node.doc_string = ""
        del node.metadata_props[:]
    if opset_of(model) <= HIGHEST_OPSET:
        model.ir_version = 9

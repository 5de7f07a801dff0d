"""Any ONNX graph -> the one form that squeeze works on: float32 inside, opset 13 to 20, free sizes and batch.

Names and types of inputs and outputs stay the user's. Each change is compared with what the graph computed before it,
over all outputs; one that changes a result is refused or undone. What was changed is said in words.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.export.ends import retype_ends
from squeeze.interface import Interface
from squeeze.teacher.example import Fitted, fit_inputs
from squeeze.teacher.onnx.batch import free_batch
from squeeze.teacher.onnx.examine import census, interface_of, taps_of
from squeeze.teacher.onnx.external import all_nodes
from squeeze.teacher.onnx.float32 import as_float32, in_float32
from squeeze.teacher.onnx.fused import taken_apart
from squeeze.teacher.onnx.operators import check_operators
from squeeze.teacher.onnx.opset import HIGHEST_OPSET, at_opset, opset_of
from squeeze.teacher.onnx.signature import declare_inputs, declare_outputs, declared
from squeeze.teacher.onnx.sizes import broken, fixed, reference, with_names
from squeeze.teacher.onnx.training_mode import out_of_training

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from squeeze.end import End
    from squeeze.feed import Feed
    from squeeze.teacher.onnx.sizes import Reference
    from squeeze.teacher.onnx.taps import Activation, Taps

logger = logging.getLogger(__name__)
_NEWEST_IR_VERSION = 10
_MOST_IN_ONE = 1 << 30  # bytes; protobuf writes no file of 2 GB


@dataclass(frozen=True)
class Adopted:
    """A graph in squeeze's form, and what was found in it. changes: what was done to the user's, in words, but for what
    a comparison of the two files shows. other_axis: why what was taken for the batch is none, where it is not."""

    model: onnx.ModelProto
    interface: Interface
    output_activation: Activation
    taps: Taps
    census: dict[str, int]
    changes: tuple[str, ...]
    other_axis: str | None = None


def adopt_file(model: onnx.ModelProto, example: Feed | None, where: str) -> Adopted:
    """Brings the `model` of a file into squeeze's form and tries it on `example` (generated where None).

    Raises ConfigError when it is invalid, does not fit the example or gives NaN or infinity; UnsupportedError when
    squeeze cannot work on it. The message names the node, the value or both shapes.
    """
    lowered = _readable(model)
    model = check_operators(model, where)
    dropped = out_of_training(model)
    for words in dropped:
        logger.warning("%s: %s", where, words)
    inputs = with_names(fit_inputs([declared(v) for v in model.graph.input], example, where))
    outputs = [declared(v) for v in model.graph.output]
    declare_inputs(model.graph, inputs)
    found = _with_free_sizes(model, inputs, outputs, where)
    return replace(found, changes=(*lowered, *dropped, *found.changes))


@contextmanager
def as_read(model: onnx.ModelProto, file: Path) -> Iterator[Path]:
    """The `file` of a model, or a copy with the IR version that it is worked on with, as long as the context lasts."""
    if model.ir_version <= _NEWEST_IR_VERSION:
        yield file
        return
    copied = type(model)()
    copied.CopyFrom(model)
    _readable(copied)
    with TemporaryDirectory(prefix="squeeze-") as folder:
        copy = Path(folder) / "read.onnx"
        onnx.save(copied, copy, save_as_external_data=copied.ByteSize() > _MOST_IN_ONE)
        yield copy


def _readable(model: onnx.ModelProto) -> list[str]:
    """Lowers the IR version, in place, to one that runtimes read; what was done, in words. Later ones added types
    alone, which nothing here computes with, and every file that is saved with a new onnx has the newest."""
    if model.ir_version <= _NEWEST_IR_VERSION:
        return []
    was, model.ir_version = model.ir_version, _NEWEST_IR_VERSION
    return [f"IR version {was} lowered to {_NEWEST_IR_VERSION}, which runtimes since 1.18 read"]


def adopt_export(
    model: onnx.ModelProto,
    inputs: Sequence[Fitted],
    outputs: Sequence[End],
    changes: Sequence[str],
    where: str,
) -> Adopted:
    """The same for a graph that was exported for `inputs`; outputs: as the module that it was made from has them.

    Its sizes are those of the data, but for the batch.
    """
    types = {one.spec.dtype for one in inputs} | {one.dtype for one in outputs}
    said = [in_float32(types)] if types & {"float16", "float64"} else []
    free = {name for one in inputs for _, name in one.spec.free}
    changes = [*_sizes(inputs, free), *changes, *said]
    # Names that torch gave to sizes are nobody's.
    nameless = [replace(one, sizes=None) for one in outputs]
    found = _adopt(check_operators(model, where), fixed(inputs, free), nameless, changes, where)
    return replace(found, changes=(*found.changes, *_freed(inputs, found.interface)))


def _with_free_sizes(
    model: onnx.ModelProto,
    inputs: Sequence[Fitted],
    outputs: Sequence[End],
    where: str,
) -> Adopted:
    """Fixes the sizes that may vary in the user's file only where the graph would not compute the same for others."""
    free = {name for one in inputs for _, name in one.spec.free}
    if not free:
        return _adopt(model, inputs, outputs, [], where)
    known = reference(model, inputs, where)
    names = set[str]()
    while True:
        copied = type(model)()
        copied.CopyFrom(model)
        kept = fixed(inputs, names)
        declare_inputs(copied.graph, kept)
        try:
            found = _adopt(copied, kept, outputs, _sizes(inputs, names), where, known)
        except (ConfigError, UnsupportedError):
            # Some graphs can be brought to another opset or another precision only with their sizes.
            if names == free:
                raise
            names = free
            continue
        failed = broken(found.model, found.interface, known) - names
        if not failed:
            return found
        names |= failed


def _adopt(
    model: onnx.ModelProto,
    inputs: Sequence[Fitted],
    outputs: Sequence[End],
    changes: Sequence[str],
    where: str,
    known: Reference | None = None,
) -> Adopted:
    model, floats = as_float32(model, inputs, where)
    model, apart = taken_apart(model, inputs, where)
    model, opset = at_opset(model, inputs, where)
    batched = free_batch(model, inputs, where)
    model = batched.model
    _tidy(model)
    given = {d.name: d for d in outputs}
    interface = interface_of(batched, inputs, given, known, where)
    declare_outputs(model.graph, interface, batched.declared, given)
    model = _with_types(model, interface)
    kind, taps = taps_of(model, interface, inputs, where)
    said = [*changes, floats, apart, opset, _fixed_batch(inputs, interface)]
    kept = tuple(dict.fromkeys(change for change in said if change is not None))
    for change in kept:
        logger.info("%s: %s", where, change)
    return Adopted(model, interface, kind, taps, census(model.graph), kept, batched.other)


def _sizes(inputs: Sequence[Fitted], names: set[str]) -> list[str]:
    return [
        f"size {repr(name) if name else f'{index} of a sample'} of input '{one.spec.name}' may vary in your file; "
        f"fixed to {one.spec.shape[index]} as in the data"
        for one in inputs
        for index, name in one.spec.free
        if name in names
    ]


def _fixed_batch(inputs: Sequence[Fitted], interface: Interface) -> str | None:
    """Why the batch of the user's model is no longer free."""
    specs = [one.spec for one in inputs]
    before, after = Interface(tuple(specs), ()).batch_size, interface.batch_size
    if before is not None or after is None or any(spec.batch_axis is None for spec in specs):
        return None
    axes = ", ".join(f"axis {spec.batch_axis} of input '{spec.name}'" for spec in specs)
    return f"the batch is fixed to {after} ({axes}): several samples at once give something else"


def _freed(inputs: Sequence[Fitted], interface: Interface) -> list[str]:
    """A batch that became free; of a file the comparison with what is written tells it."""
    before = Interface(tuple(one.spec for one in inputs), ()).batch_size
    if before is None or interface.batch_size is not None:
        return []
    return [f"the batch, {before} in your file, may be any number"]


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

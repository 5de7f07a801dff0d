"""Writes a whole graph: its inputs, each operator in the order of the file, its outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from squeeze.errors import UnsupportedError
from squeeze.tflite.graph import Graph, read
from squeeze.tflite.layout import plain
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Params
from squeeze.tflite.operators import OPERATORS
from squeeze.tflite.ports import Port, Ports, to_json
from squeeze.tflite.writing import Form, Writing
from squeeze.workdir import write_atomic


@dataclass(frozen=True)
class Written:
    """path: of the file. operators: how many it has. in_float: nodes of the ONNX file that read int8 and are computed
    in floats, since TFLite has no int8 operator for them, or because their output is not quantised."""

    path: Path
    ports: Ports
    operators: int
    in_float: tuple[str, ...]


def write(model: Path, path: Path) -> Written:
    """Writes the ONNX file `model` as the .tflite file `path`, the same bytes each time.

    Raises UnsupportedError naming the first node that cannot be written; ConfigError for what is no ONNX file.
    """
    graph = read(model)
    w, refused = _walked(graph)
    if refused:
        name, why = refused[0]
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise UnsupportedError(f"{model}: " + (f"node '{name}': {why}" if name else why) + more)
    inputs, outputs = _inputs(w), _outputs(w)
    ports = Ports(
        tuple(_port(w, name, form) for name, form in inputs),
        tuple(_port(w, name, form) for name, form in outputs),
    )
    data = w.file.finish(
        [f.index for _, f in inputs], [f.index for _, f in outputs], to_json(ports)
    )
    write_atomic(path, data)
    return Written(path, ports, len(w.file.graph.operators), tuple(w.in_float))


def refusals(model: Path) -> list[tuple[str, str]]:
    """(node, why) for each that cannot be written; ("", why) for a file as a whole. Nothing is written."""
    try:
        graph = read(model)
    except UnsupportedError as e:
        return [("", str(e))]
    return _walked(graph)[1]


def lacking(model: Path) -> list[tuple[str, str]]:
    """(node, why) for each whose operator TFLite has not, in whatever numbers. Nothing is written."""
    try:
        graph = read(model)
    except UnsupportedError:
        return []
    unknown = {node.name for node in graph.nodes if _writer(node) is None}
    return [(node, why) for node, why in _walked(graph)[1] if node in unknown]


def _walked(graph: Graph) -> tuple[Writing, list[tuple[str, str]]]:
    w = Writing(graph)
    for name in graph.inputs:
        _open(w, name)
    refused: list[tuple[str, str]] = []
    lost: set[str] = set()  # values of which nothing is known, since a node before them was refused
    for node in graph.nodes:
        if node in w.done:
            continue
        if lost & set(node.inputs):
            lost.update(node.outputs)
            continue
        w.node = node
        try:
            _one(w, node)
        except UnsupportedError as e:
            origin = f" (from {node.origin})" if node.origin else ""
            refused.append((node.name, f"{_kind(node)}{origin}: {e}"))
            lost.update(name for name in node.outputs if not _stand_in(w, name))
    w.node = None
    return w, refused


def _one(w: Writing, node: Node) -> None:
    writer = _writer(node)
    if writer is None:
        raise UnsupportedError(
            "TFLite has no such operator; leave it to the app, or build for a target that loads ONNX files"
        )
    writer(w, node)


def _writer(node: Node) -> Callable[[Writing, Node], None] | None:
    return None if node.domain else OPERATORS.get(node.op)


def _kind(node: Node) -> str:
    return f"{node.domain}::{node.op}" if node.domain else node.op


def _stand_in(w: Writing, name: str) -> bool:
    """A tensor for what could not be written, so that what is behind it can be looked at. False without a shape."""
    if not name or name not in w.graph.shapes:
        return not name
    if name not in w.forms:
        w.made(name, w.wish(name), None)
    return True


def _open(w: Writing, name: str) -> None:
    """An input is int8 where all that read it quantise it so, or where it is integers that a DequantizeLinear reads.

    Integers of a byte that are cast to floats, and those quantised, are their own codes: of scale 1 and zero point 0.
    """
    axes = w.wish(name)
    readers = w.graph.readers.get(name, [])
    params = w.wanted(name) if all(node.op == "QuantizeLinear" for node in readers) else None
    stored = {w.said_params(node) for node in readers if node.op == "DequantizeLinear"}
    dtype = w.graph.dtypes.get(name, "float32")
    said = stored.pop() if len(stored) == 1 else None
    if said is None and dtype in ("int8", "uint8") and (casts := _quantised_casts(w, name)):
        _open_as_codes(w, name, casts)
        return
    if said is None or dtype not in ("int8", "uint8"):
        w.made(name, axes, params)
        return
    if dtype == "int8":
        w.made(name, axes, said)
        return
    shape = [w.shape(name)[axis] for axis in axes]
    given = w.file.tensor(name, shape, "uint8", Params(said.scale, said.zero + 128))
    w.give(name, given, axes)
    moved = w.file.tensor(f"{name}/int8", shape, "int8", said)
    w.write("QUANTIZE", [given], [moved])
    w.give(name, moved, axes, said)


def _quantised_casts(w: Writing, name: str) -> list[Node]:
    """All readers of an input, where each casts it to floats that are quantised and nothing else."""
    readers = w.graph.readers.get(name, [])
    casts = [
        node
        for node in readers
        if node.op == "Cast"
        and w.graph.dtypes.get(node.outputs[0]) == "float32"
        and w.wanted(node.outputs[0]) is not None
    ]
    return casts if len(casts) == len(readers) and name not in w.graph.outputs else []


def _open_as_codes(w: Writing, name: str, casts: Sequence[Node]) -> None:
    axes = w.wish(name)
    shape = [w.shape(name)[axis] for axis in axes]
    given = w.file.tensor(name, shape, w.graph.dtypes[name], Params(1.0, 0))
    w.give(name, given, axes)
    for node in casts:
        w.node = node
        value = node.outputs[0]
        params = w.wanted(value)
        moved = w.file.tensor(f"{value}/int8", shape, "int8", params)
        w.write("QUANTIZE", [given], [moved])
        w.give(value, moved, axes, params)
        w.done.add(node)
    w.node = None


def _inputs(w: Writing) -> list[tuple[str, Form]]:
    return [(name, w.forms[name][0]) for name in w.graph.inputs]


def _outputs(w: Writing) -> list[tuple[str, Form]]:
    """Each a tensor of its own, in int8 where it is."""
    found: list[tuple[str, Form]] = []
    taken = {w.forms[name][0].index for name in w.graph.inputs}
    for name in w.graph.outputs:
        forms = w.forms.get(name) or [Form(w.take(name), plain(len(w.shape(name))))]
        coded = [form for form in forms if form.params is not None] or forms
        form = next((f for f in coded if f.axes == w.wish(name)), coded[0])
        if form.index in taken or name in w.graph.constants:
            copied = w.between(name, w.file.shapes[form.index], form.index)
            w.reshape(form.index, copied)
            form = Form(copied, form.axes, form.params)
        taken.add(form.index)
        found.append((name, form))
    return found


def _port(w: Writing, name: str, form: Form) -> Port:
    """Integers that the ONNX file has as integers too are given and taken as they are."""
    floats = w.graph.dtypes.get(name, "float32") == "float32"
    scale = float(np.float32(form.params.scale)) if form.params and floats else None
    zero = form.params.zero if form.params and floats else None
    return Port(name, form.axes, w.file.shapes[form.index], w.file.dtypes[form.index], scale, zero)

"""An ONNX file as the writer sees it: one sample, every shape known, all that can be computed beforehand computed.

Functions are put in place of their calls, a free batch becomes 1, half and double precision become float32, constants
are folded, and a DequantizeLinear of a constant is a constant of integers (`codes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, inliner, numpy_helper

from squeeze.errors import ConfigError, UnsupportedError
from squeeze.tflite.node import Node
from squeeze.tflite.numbers import Array, Codes, codes_of
from squeeze.tflite.rewrites import rewritten

# What nodes say of their origin, the first that is there: torch's exporter, then others.
_ORIGINS = ("pkg.torch.onnx.fx_node", "namespace", "pkg.torch.onnx.name_scopes", "source")
_LARGEST_FOLDED = 1 << 24
_NARROW = {"float16": "float32", "float64": "float32"}
# Moves of constants that their codes follow.
_MOVES = {"Transpose", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"}


@dataclass
class Graph:
    """Values are known by their names. constants: as floats or whole numbers, those with `codes` too."""

    path: Path
    nodes: list[Node]
    inputs: list[str]
    outputs: list[str]
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, str]
    constants: dict[str, Array]
    codes: dict[str, Codes]
    opset: int
    makers: dict[str, Node] = field(default_factory=dict)
    readers: dict[str, list[Node]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in self.nodes:
            for name in node.outputs:
                self.makers[name] = node
            for name in node.inputs:
                self.readers.setdefault(name, []).append(node)


def read(path: Path) -> Graph:
    """Raises ConfigError for a file that is no model, UnsupportedError for one that has no one size."""
    try:
        model = onnx.load(path)
    except OSError as e:
        raise ConfigError(f"{path}: cannot be read: {e.strerror or e}") from e
    except (DecodeError, onnx.checker.ValidationError) as e:
        raise ConfigError(f"{path}: not a whole ONNX file") from e
    if not model.graph.output:
        raise ConfigError(f"{path}: not a whole ONNX file: its graph has no outputs")
    if model.functions:
        model = inliner.inline_local_functions(model)
    _widen(model)
    constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    _fix_batch(path, model, set(constants))
    codes: dict[str, Codes] = {}
    opset = max(
        (one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1
    )
    before = -1
    while (
        len(constants) != before
    ):  # each constant can make a shape known, and each shape a constant
        before = len(constants)
        shapes, dtypes = _inferred(path, model, constants)
        _fold(model, constants, codes, shapes, opset)
    return _graph(path, model, constants, codes, shapes, dtypes, opset)


def _graph(
    path: Path,
    model: onnx.ModelProto,
    constants: dict[str, Array],
    codes: dict[str, Codes],
    shapes: dict[str, tuple[int, ...]],
    dtypes: dict[str, str],
    opset: int,
) -> Graph:
    for name, value in constants.items():
        shapes[name], dtypes[name] = value.shape, value.dtype.name
    outputs = [value.name for value in model.graph.output]
    nodes = [_node(i, proto) for i, proto in enumerate(model.graph.node)]
    nodes = rewritten(nodes, outputs, constants, codes)
    for name in set(constants) - set(shapes):
        shapes[name], dtypes[name] = constants[name].shape, constants[name].dtype.name
    needed, live = set(outputs), []
    for node in reversed(nodes):
        if needed & set(node.outputs) - set(constants):
            live.append(node)
            needed.update(node.inputs)
    initial = {one.name for one in model.graph.initializer}
    return Graph(
        path,
        live[::-1],
        [value.name for value in model.graph.input if value.name not in initial],
        outputs,
        shapes,
        dtypes,
        constants,
        codes,
        opset,
    )


def _node(i: int, proto: onnx.NodeProto) -> Node:
    said = {entry.key: entry.value for entry in proto.metadata_props}
    origin = next((said[key] for key in _ORIGINS if said.get(key)), "")
    attributes = {a.name: helper.get_attribute_value(a) for a in proto.attribute}
    domain = "" if proto.domain == "ai.onnx" else proto.domain
    name = proto.name or (proto.output[0] if proto.output else f"{proto.op_type} {i}")
    return Node(
        name, proto.op_type, domain, tuple(proto.input), tuple(proto.output), attributes, origin
    )


def _fix_batch(path: Path, model: onnx.ModelProto, constants: set[str]) -> None:
    """Free first axes, and all of the same name, are 1; so is a name that is the only free one."""
    free: dict[str, list[Any]] = {}  # Any: dimensions of protobuf
    first: set[str] = set()
    for value in model.graph.input:
        if value.name in constants:
            continue
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if not size.HasField("dim_value") or size.dim_value < 1:
                symbol = size.dim_param or f"{value.name}[{axis}]"
                free.setdefault(symbol, []).append(size)
                if axis == 0:
                    first.add(symbol)
    batch = first or (set(free) if len(free) == 1 else set())
    if others := sorted(set(free) - batch):
        raise UnsupportedError(
            f"{path}: size '{others[0]}' of an input is free, a .tflite file has one size; give the model a fixed one"
        )
    for sizes in free.values():
        for size in sizes:
            size.dim_value = 1
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _inferred(
    path: Path, model: onnx.ModelProto, constants: Mapping[str, Array]
) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shapes and types of all values, with the small constants that are known by now."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    has = {one.name for one in proto.graph.initializer}
    known = {name for name in constants if name not in has}
    kept = [node for node in proto.graph.node if not set(node.output) & known]
    del proto.graph.node[:]
    proto.graph.node.extend(kept)
    for name in known:
        proto.graph.initializer.append(numpy_helper.from_array(constants[name], name))
    try:
        proto = onnx.shape_inference.infer_shapes(proto, data_prop=True)
    except (RuntimeError, ValueError, onnx.shape_inference.InferenceError) as e:
        said = str(e).strip().splitlines()
        raise ConfigError(
            f"{path}: its shapes do not fit together: {said[-1] if said else e}"
        ) from e
    shapes: dict[str, tuple[int, ...]] = {}
    dtypes: dict[str, str] = {}
    for value in (*proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type:
            dtypes[value.name] = helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            shapes[value.name] = tuple(int(d.dim_value) for d in tensor.shape.dim)
    return shapes, dtypes


def _fold(
    model: onnx.ModelProto,
    constants: dict[str, Array],
    codes: dict[str, Codes],
    shapes: Mapping[str, tuple[int, ...]],
    opset: int,
) -> None:
    """Adds to `constants` and `codes` what nodes make of constants alone, or of shapes that are known."""
    from onnx.reference import ReferenceEvaluator

    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or set(node.output) & set(constants):
            continue
        if node.op_type == "Shape" and node.input[0] in shapes and not node.attribute:
            constants[node.output[0]] = np.asarray(shapes[node.input[0]], np.int64)
            continue
        given = [name for name in node.input if name]
        if any(name not in constants for name in given) or _random(node) or _has_graph(node):
            continue
        if node.op_type == "DequantizeLinear" and not _attribute(node, "block_size", 0):
            found = codes_of(
                constants[node.input[0]],
                constants[node.input[1]],
                constants[node.input[2]] if len(node.input) > 2 and node.input[2] else None,
                _attribute(node, "axis", 1),
            )
            if found is not None:
                codes[node.output[0]], constants[node.output[0]] = found, found.plain()
                continue
        if sum(constants[name].size for name in given) > _LARGEST_FOLDED:
            continue
        try:
            single = helper.make_model(
                helper.make_graph(
                    [node],
                    "constant",
                    [
                        helper.make_tensor_value_info(
                            n, helper.np_dtype_to_tensor_dtype(constants[n].dtype), None
                        )
                        for n in dict.fromkeys(given)
                    ],
                    [helper.make_empty_tensor_value_info(n) for n in node.output if n],
                ),
                opset_imports=[helper.make_opsetid("", opset)],
            )
            made = ReferenceEvaluator(single).run(None, {n: constants[n] for n in given})
        except (NotImplementedError, RuntimeError, TypeError, ValueError, IndexError, KeyError):
            continue  # stays a node; whoever writes it says what is wrong
        for name, value in zip([n for n in node.output if n], made, strict=True):
            array = np.asarray(value)
            constants[name] = array.astype(_NARROW.get(array.dtype.name, array.dtype))
        if node.op_type in _MOVES and node.input[0] in codes:
            _move_codes(node, codes, constants)


def _move_codes(
    node: onnx.NodeProto, codes: dict[str, Codes], constants: Mapping[str, Array]
) -> None:
    old, new = codes[node.input[0]], node.output[0]
    if node.op_type == "Transpose":
        order = _attribute(node, "perm", list(range(old.values.ndim))[::-1])
        codes[new] = Codes(old.values.transpose(order), old.scale, old.zero, order.index(old.axis))
    elif old.scale.size == 1:
        codes[new] = Codes(old.values.reshape(constants[new].shape), old.scale, old.zero, 0)


def _widen(model: onnx.ModelProto) -> None:
    """Half and double precision become float32, in which LiteRT computes."""
    wide = {onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE}
    single = onnx.TensorProto.FLOAT
    for one in model.graph.initializer:
        if one.data_type in wide:
            one.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(one).astype(np.float32), one.name)
            )
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.elem_type in wide:
            value.type.tensor_type.elem_type = single
    for node in model.graph.node:
        for a in node.attribute:
            if a.name in ("to", "dtype") and a.i in wide:
                a.i = single
            if a.HasField("t") and a.t.data_type in wide:
                a.t.CopyFrom(
                    numpy_helper.from_array(numpy_helper.to_array(a.t).astype(np.float32), a.t.name)
                )


def _attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:  # Any: of its type
    return next((helper.get_attribute_value(a) for a in node.attribute if a.name == name), default)


def _random(node: onnx.NodeProto) -> bool:
    return node.op_type.startswith("Random") or node.op_type in ("Multinomial", "Bernoulli")


def _has_graph(node: onnx.NodeProto) -> bool:
    return any(a.HasField("g") for a in node.attribute)

"""Damages a model file the way that broken writers, bad transfers and bad intentions do, from a seed.

Nodes are dropped, doubled, renamed, reordered; edges lead elsewhere, to nothing or in circles; types, ranks, sizes and
attributes are wrong, huge or negative; weights are cut off or not finite; bytes of the file are flipped or missing.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import onnx
from onnx import TensorProto, helper

Mutation = Callable[[onnx.ModelProto, Random], None]
SIZES = (0, -1, 1, 2, 3, 7, 1 << 20, (1 << 31) - 1, 1 << 40, (1 << 63) - 1, -(1 << 63))
FLOATS = (0.0, -1.0, 1e-38, 1e38, float("inf"), float("-inf"), float("nan"))
NAMES = ("", " ", "x", "y", "a", "w0", "../../etc/passwd", "\u00e9\u4e2d", "n" * 3000, "a/b:c\n")
OPERATORS = (
    *("Add", "Cast", "Concat", "Conv", "DequantizeLinear", "Expand", "Flatten", "Gather", "Gemm"),
    *("Identity", "If", "Loop", "LSTM", "MatMul", "NoSuchOp", "Pad", "QuantizeLinear", "Relu"),
    *("Reshape", "Resize", "Scan", "Shape", "Slice", "Split", "Squeeze", "Transpose", "Where"),
)
STEPS = (1, 1, 1, 2, 3)


def mutated(model: onnx.ModelProto, seed: int) -> bytes:
    """The file of a copy of `model` after one to three mutations, the last perhaps of its bytes."""
    random = Random(seed)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    for _ in range(random.choice(STEPS)):
        random.choice(MUTATIONS)(copy, random)
    data = copy.SerializeToString()
    return bytes_changed(data, random) if random.random() < 0.15 else data


def bytes_changed(data: bytes, random: Random) -> bytes:
    """Some flipped, a part cut out, or the end missing."""
    changed = bytearray(data)
    kind = random.randrange(3)
    if kind == 0:
        for _ in range(random.randint(1, 8)):
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    elif kind == 1:
        start = random.randrange(len(changed))
        del changed[start : start + random.randint(1, 64)]
    else:
        del changed[random.randrange(len(changed)) :]
    return bytes(changed)


def drop_node(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.node:
        del model.graph.node[random.randrange(len(model.graph.node))]


def double_node(model: onnx.ModelProto, random: Random) -> None:
    if node := _node(model, random):
        model.graph.node.add().CopyFrom(node)


def shuffle_nodes(model: onnx.ModelProto, random: Random) -> None:
    nodes = list(model.graph.node)
    random.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def rename_node(model: onnx.ModelProto, random: Random) -> None:
    if node := _node(model, random):
        names = [n.name for n in model.graph.node]
        node.name = random.choice([*names, *NAMES])


def change_operator(model: onnx.ModelProto, random: Random) -> None:
    if node := _node(model, random):
        node.op_type = random.choice(OPERATORS)


def change_domain(model: onnx.ModelProto, random: Random) -> None:
    if node := _node(model, random):
        node.domain = random.choice(("com.microsoft", "ai.squeeze", "ai.onnx", "no.such.domain"))


def rewire_input(model: onnx.ModelProto, random: Random) -> None:
    """To any value, so that circles come up; to none; or to a name that nobody makes."""
    node = _node(model, random)
    if node is not None and node.input:
        node.input[random.randrange(len(node.input))] = _name(model, random)


def drop_or_add_input(model: onnx.ModelProto, random: Random) -> None:
    if (node := _node(model, random)) is None:
        return
    if node.input and random.random() < 0.5:
        del node.input[random.randrange(len(node.input))]
    else:
        node.input.append(_name(model, random))


def rename_output(model: onnx.ModelProto, random: Random) -> None:
    """Of a node: two nodes may then make one value."""
    node = _node(model, random)
    if node is not None and node.output:
        node.output[random.randrange(len(node.output))] = _name(model, random)


def change_attribute(model: onnx.ModelProto, random: Random) -> None:
    node = _node(model, random)
    if node is None or not node.attribute:
        return
    attribute = random.choice(node.attribute)
    if attribute.type == onnx.AttributeProto.INT:
        attribute.i = random.choice(SIZES)
    elif attribute.type == onnx.AttributeProto.INTS and attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(SIZES)
    elif attribute.type == onnx.AttributeProto.FLOAT:
        attribute.f = random.choice(FLOATS)


def retype_attribute(model: onnx.ModelProto, random: Random) -> None:
    """Another type than its value, another name, a second one of the name, or none."""
    node = _node(model, random)
    if node is None or not node.attribute:
        return
    attribute = random.choice(node.attribute)
    kind = random.randrange(4)
    if kind == 0:
        attribute.type = random.randrange(0, 15)
    elif kind == 1:
        attribute.name = random.choice(("axis", "axes", "perm", "group", "", "no_such"))
    elif kind == 2:
        node.attribute.add().CopyFrom(attribute)
    else:
        node.attribute.remove(attribute)


def add_attribute(model: onnx.ModelProto, random: Random) -> None:
    if node := _node(model, random):
        name = random.choice(("axis", "axes", "perm", "group", "pads", "strides", "to", "alpha"))
        value = random.choice((1, -1, [1, 1], [0] * 4, 0.5, "SAME_UPPER", [1 << 40, 2]))
        node.attribute.append(helper.make_attribute(name, value))


def change_size(model: onnx.ModelProto, random: Random) -> None:
    """Of an input, an output or a value in between."""
    if (value := _value(model, random)) is None:
        return
    dims = value.type.tensor_type.shape.dim
    kind = random.randrange(4)
    if kind == 0 and dims:
        random.choice(dims).dim_value = random.choice(SIZES)
    elif kind == 1:
        dims.add().dim_value = random.choice((0, 1, 2, -1))
    elif kind == 2 and dims:
        random.choice(dims).dim_param = random.choice(NAMES)
    elif dims:
        del dims[-1]


def change_type(model: onnx.ModelProto, random: Random) -> None:
    """Of an input or output: another element type, none, a sequence, or no shape."""
    if (value := _value(model, random)) is None:
        return
    kind = random.randrange(4)
    if kind == 0:
        value.type.tensor_type.elem_type = random.randrange(0, 24)
    elif kind == 1:
        value.ClearField("type")
    elif kind == 2:
        value.type.sequence_type.elem_type.tensor_type.elem_type = TensorProto.FLOAT
    else:
        value.type.tensor_type.ClearField("shape")


def rename_end(model: onnx.ModelProto, random: Random) -> None:
    ends = [*model.graph.input, *model.graph.output]
    if ends:
        random.choice(ends).name = _name(model, random)


def drop_or_double_end(model: onnx.ModelProto, random: Random) -> None:
    ends = random.choice((model.graph.input, model.graph.output))
    if not ends:
        return
    if random.random() < 0.5:
        del ends[random.randrange(len(ends))]
    else:
        ends.add().CopyFrom(random.choice(ends))


def change_weight_shape(model: onnx.ModelProto, random: Random) -> None:
    if (weight := _weight(model, random)) is None:
        return
    if weight.dims and random.random() < 0.6:
        weight.dims[random.randrange(len(weight.dims))] = random.choice(SIZES)
    elif weight.dims and random.random() < 0.5:
        del weight.dims[-1]
    else:
        weight.dims.append(random.choice((1, 2, 0)))


def change_weight_bytes(model: onnx.ModelProto, random: Random) -> None:
    """Cut off, doubled, emptied, or with numbers that are not finite."""
    if (weight := _weight(model, random)) is None:
        return
    data, kind = weight.raw_data, random.randrange(4)
    if kind == 0:
        weight.raw_data = data[: random.randrange(len(data) + 1)]
    elif kind == 1:
        weight.raw_data = data * 2
    elif kind == 2:
        weight.raw_data = b""
    else:
        weight.raw_data = b"\xff" * len(data)


def change_weight_type(model: onnx.ModelProto, random: Random) -> None:
    if (weight := _weight(model, random)) is not None:
        weight.data_type = random.randrange(0, 24)


def move_weight_outside(model: onnx.ModelProto, random: Random) -> None:
    """Into a file that is not there, or is none of the model's business."""
    if (weight := _weight(model, random)) is None:
        return
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", random.choice(("w.bin", "../w.bin", "/etc/passwd", "", "/dev/zero"))),
        ("offset", str(random.choice(SIZES))),
        ("length", str(random.choice(SIZES))),
    ):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value


def rename_weight(model: onnx.ModelProto, random: Random) -> None:
    if (weight := _weight(model, random)) is not None:
        weight.name = _name(model, random)


def drop_weight(model: onnx.ModelProto, random: Random) -> None:
    if model.graph.initializer:
        del model.graph.initializer[random.randrange(len(model.graph.initializer))]


def change_scale(model: onnx.ModelProto, random: Random) -> None:
    """A number of a weight becomes zero, tiny, huge or no number; scales are weights, too."""
    weight = _weight(model, random)
    if weight is None or weight.data_type != TensorProto.FLOAT or len(weight.raw_data) < 4:
        return
    import struct

    data = bytearray(weight.raw_data)
    at = 4 * random.randrange(len(data) // 4)
    data[at : at + 4] = struct.pack("<f", random.choice(FLOATS))
    weight.raw_data = bytes(data)


def change_versions(model: onnx.ModelProto, random: Random) -> None:
    kind = random.randrange(4)
    if kind == 0:
        model.ir_version = random.choice((0, 3, 7, 13, 99, -1))
    elif kind == 1 and model.opset_import:
        model.opset_import[0].version = random.choice((-1, 0, 1, 7, 11, 13, 20, 24, 1000))
    elif kind == 2:
        del model.opset_import[:]
    else:
        model.opset_import.append(helper.make_opsetid("", random.choice((9, 17, 21))))


def in_a_body(model: onnx.ModelProto, random: Random) -> None:
    """A mutation inside the body of an If or a Loop."""
    bodies = [a.g for n in model.graph.node for a in n.attribute if a.HasField("g")]
    if not bodies:
        return
    inner = onnx.ModelProto()
    body = random.choice(bodies)
    inner.graph.CopyFrom(body)
    inside = (drop_node, rewire_input, rename_output, change_size, change_type, change_operator)
    random.choice(inside)(inner, random)
    body.CopyFrom(inner.graph)


MUTATIONS: tuple[Mutation, ...] = (
    add_attribute,
    change_attribute,
    change_domain,
    change_operator,
    change_scale,
    change_size,
    change_type,
    change_versions,
    change_weight_bytes,
    change_weight_shape,
    change_weight_type,
    double_node,
    drop_node,
    drop_or_add_input,
    drop_or_double_end,
    drop_weight,
    in_a_body,
    move_weight_outside,
    rename_end,
    rename_node,
    rename_output,
    rename_weight,
    retype_attribute,
    rewire_input,
    shuffle_nodes,
)


def _node(model: onnx.ModelProto, random: Random) -> onnx.NodeProto | None:
    return random.choice(model.graph.node) if model.graph.node else None


def _weight(model: onnx.ModelProto, random: Random) -> onnx.TensorProto | None:
    return random.choice(model.graph.initializer) if model.graph.initializer else None


def _value(model: onnx.ModelProto, random: Random) -> onnx.ValueInfoProto | None:
    values = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    return random.choice(values) if values else None


def _name(model: onnx.ModelProto, random: Random) -> str:
    made = [name for node in model.graph.node for name in (*node.input, *node.output)]
    return random.choice([*made, *NAMES])

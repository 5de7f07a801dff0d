"""How often the body of a Loop or Scan runs, as far as the file says it.

Cases: a Scan (as often as the scanned axis is long); a Loop with a stored number of runs, whose condition never ends it
or may end it before; anything else is not known, and counts once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import onnx

    from squeeze.account.macs import Shape

_COUNTING = (TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64)
_UNKNOWN = "how often its body runs is not known; counted once"


def runs_of_body(
    node: onnx.NodeProto, shapes: Mapping[str, Shape], stored: Mapping[str, int]
) -> tuple[int, str]:
    """The runs to count, and what is not known of them, "" where nothing is; (1, "") for other nodes.

    stored: single whole numbers by name, see `whole_numbers`.
    """
    if node.op_type == "Scan":
        return _of_scan(node, shapes)
    if node.op_type != "Loop":
        return 1, ""
    runs = stored.get(node.input[0]) if node.input[0] else None
    begins = len(node.input) < 2 or not node.input[1] or bool(stored.get(node.input[1]))
    if runs is None:
        return 1, _UNKNOWN
    if begins and _goes_on(_body(node)):
        return runs, ""
    return runs, f"its condition may end it before the {runs:,} runs that are counted"


def whole_numbers(graph: onnx.GraphProto) -> dict[str, int]:
    """Name -> value of what the graph stores as one integer or bool."""
    return {
        name: int(numpy_helper.to_array(tensor).reshape(()))
        for name, tensor in _tensors(graph)
        if _whole(tensor)
    }


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant":
            yield from ((node.output[0], a.t) for a in node.attribute if a.name == "value")
            for attribute in node.attribute:
                if attribute.name == "value_int":
                    yield (
                        node.output[0],
                        helper.make_tensor("", TensorProto.INT64, [], [attribute.i]),
                    )


def _whole(tensor: onnx.TensorProto) -> bool:
    """One number, of a type that counts, whose value is in the file."""
    one = all(size == 1 for size in tensor.dims)
    kept = bool(tensor.raw_data or tensor.int64_data or tensor.int32_data)
    return one and kept and tensor.data_type in _COUNTING


def _goes_on(body: onnx.GraphProto) -> bool:
    """Whether a Loop's body hands its condition on as it got it, or always says yes."""
    condition, given = body.output[0].name, body.input[1].name
    makers = {name: node for node in body.node for name in node.output}
    while condition in makers and makers[condition].op_type == "Identity":
        condition = makers[condition].input[0]
    return condition == given or bool(whole_numbers(body).get(condition))


def _of_scan(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> tuple[int, str]:
    said = {a.name: a for a in node.attribute}
    first = node.input[len(node.input) - said["num_scan_inputs"].i]
    axis = said["scan_input_axes"].ints[0] if "scan_input_axes" in said else 0
    shape = shapes.get(first)
    size = shape[axis] if shape else None
    return (1, _UNKNOWN) if size is None else (size, "")


def _body(node: onnx.NodeProto) -> onnx.GraphProto:
    body: onnx.GraphProto = next(a.g for a in node.attribute if a.name == "body")
    return body

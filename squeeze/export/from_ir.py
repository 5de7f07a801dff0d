"""The door in the other direction: a float ONNX graph as the description and the weights of a torch network.

Why an importer of our own: its network is described by plain JSON, so that caches hold no code, its layers
can be pruned and quantised by name, and onnx2torch, which makes a module of closures, needs torchvision.

Taken:  Conv (1-D, 2-D), Gemm and MatMul with constant weights, BatchNormalization, LayerNormalization as modules;
        elementwise, pooling and moving operators as functions, and what masks and places of tokens are made with.
        Sizes may be computed inside the graph where the operator is of `_MAY_BE_COMPUTED`.
Refused: weights that are computed, several outputs, everything else; the message names the node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from squeeze.errors import UnsupportedError
from squeeze.export.refusals import Json, check_pool, check_resize, refused

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

Array = Any  # Any: a NumPy array of any element type

# Operators without weights, and which of their inputs are constants that become attributes.
_MOVED: dict[str, dict[int, str]] = {
    "Clip": {1: "min", 2: "max"},
    "ConstantOfShape": {0: "shape"},
    "CumSum": {1: "axis"},
    "Expand": {1: "shape"},
    "Pad": {1: "pads", 2: "value", 3: "axes"},
    "Range": {0: "start", 1: "limit", 2: "delta"},
    "ReduceL2": {1: "axes"},
    "ReduceMax": {1: "axes"},
    "ReduceMean": {1: "axes"},
    "ReduceMin": {1: "axes"},
    "ReduceSum": {1: "axes"},
    "Reshape": {1: "shape"},
    "Resize": {1: "roi", 2: "scales", 3: "sizes"},
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    "Split": {1: "split"},
    "Squeeze": {1: "axes"},
    "Tile": {1: "repeats"},
    "Trilu": {1: "k"},
    "Unsqueeze": {1: "axes"},
}
_SCALARS = ("axis", "delta", "k", "limit", "max", "min", "start", "value")
_MAY_BE_COMPUTED = ("ConstantOfShape", "Expand", "Range", "Reshape", "Slice", "Tile")
# Of constants that no weights are: indices, places, masks.
_WHOLE = ("bool", "int32", "int64")


def from_ir(model: ir.Model) -> tuple[Json, dict[str, NDArray[np.float32]]]:
    """(params of an ArchSpec of the family "network", its state dict as arrays) of a graph with one output.

    Shapes should be inferred before. Raises UnsupportedError when an operator cannot be trained in torch.
    """
    return _Reader(model.graph).read()


class _Reader:
    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.weights: dict[str, NDArray[np.float32]] = {}
        self.constants: dict[str, list[int]] = {}
        self.whole: dict[str, Json] = {}  # name -> the node that makes it
        self.count = 0

    def read(self) -> tuple[Json, dict[str, NDArray[np.float32]]]:
        if not self.graph.inputs or len(self.graph.outputs) != 1:
            raise UnsupportedError("training: the graph must have inputs and one output")
        nodes = [self._node(node) for node in self.graph if not _constant_node(node)]
        params = {
            "inputs": [value.name for value in self.graph.inputs],
            "output": self.graph.outputs[0].name,
            "nodes": [*self.whole.values(), *nodes],
            "constants": self.constants,
        }
        return params, self.weights

    def _node(self, node: ir.Node) -> Json:
        if node.domain not in ("", "ai.onnx"):
            raise refused(node, f"of domain {node.domain}")
        outputs = [str(v.name) for v in node.outputs]
        if node.op_type == "Conv":
            return self._conv(node, outputs)
        if node.op_type == "Gemm" or (node.op_type == "MatMul" and _matrix(node) is not None):
            return self._linear(node, outputs)
        if node.op_type in ("BatchNormalization", "LayerNormalization"):
            return self._norm(node, outputs)
        return self._function(node, outputs)

    def _layer(
        self, node: ir.Node, outputs: list[str], sizes: Json, arrays: dict[str, Array]
    ) -> Json:
        key = f"{node.op_type.lower()}_{self.count}"
        self.count += 1
        for name, array in arrays.items():
            if array is not None:
                kind = np.int64 if name == "num_batches_tracked" else np.float32
                self.weights[f"layers.{key}.{name}"] = np.array(array, kind)
        return {
            "op": node.op_type,
            "inputs": [self._operand(node, 0)],
            "outputs": outputs[:1],
            "layer": key,
            "sizes": sizes,
            "attributes": {},
        }

    def _conv(self, node: ir.Node, outputs: list[str]) -> Json:
        weight = self._given(node, 1)
        dims = weight.ndim - 2
        if dims not in (1, 2):
            raise refused(node, f"of {dims} spatial dimensions; 1 and 2 are known")
        attributes = _attributes(node)
        if attributes.get("auto_pad", "NOTSET") != "NOTSET":
            raise refused(node, f"with auto_pad {attributes['auto_pad']}")
        pads = attributes.get("pads") or [0] * 2 * dims
        same = pads[:dims] == pads[dims:]
        groups = attributes.get("group", 1)
        bias = self._given(node, 2) if _has(node, 2) else None
        sizes = {
            "inputs": weight.shape[1] * groups,
            "outputs": weight.shape[0],
            "kernel": list(weight.shape[2:]),
            "stride": attributes.get("strides") or [1] * dims,
            "padding": pads[:dims] if same else [0] * dims,
            "dilation": attributes.get("dilations") or [1] * dims,
            "groups": groups,
            "bias": bias is not None,
        }
        made = self._layer(node, outputs, sizes, {"weight": weight, "bias": bias})
        if not same:
            made["attributes"] = {"pads": pads}
        return made

    def _linear(self, node: ir.Node, outputs: list[str]) -> Json:
        weight, bias = self._given(node, 1), None
        attributes = _attributes(node)
        if node.op_type == "Gemm":
            if attributes.get("transA", 0):
                raise refused(node, "with transA")
            weight = (weight if attributes.get("transB", 0) else weight.T) * attributes.get(
                "alpha", 1.0
            )
            if _has(node, 2):
                given = self._given(node, 2) * attributes.get("beta", 1.0)
                if given.size not in (1, len(weight)):
                    raise refused(node, "with a bias that is not one number per output")
                bias = np.broadcast_to(given.reshape(-1), (len(weight),))
        else:
            weight = weight.T
        sizes = {
            "inputs": weight.shape[1],
            "outputs": weight.shape[0],
            "bias": bias is not None,
        }
        return self._layer(node, outputs, sizes, {"weight": weight, "bias": bias})

    def _norm(self, node: ir.Node, outputs: list[str]) -> Json:
        scale = self._given(node, 1)
        attributes = _attributes(node)
        sizes: Json = {"outputs": len(scale), "eps": attributes.get("epsilon", 1e-5)}
        if node.op_type == "LayerNormalization":
            if attributes.get("axis", -1) not in (-1, _rank(node) - 1) or scale.ndim != 1:
                raise refused(node, "over other than the last axis")
            bias = self._given(node, 2) if _has(node, 2) else np.zeros_like(scale)
            return self._layer(node, outputs, sizes, {"weight": scale, "bias": bias})
        sizes["rank"] = 4 if _rank(node) == 4 else 3
        names = ("weight", "bias", "running_mean", "running_var")
        arrays = {name: self._given(node, i + 1) for i, name in enumerate(names)}
        return self._layer(node, outputs, sizes, {**arrays, "num_batches_tracked": np.zeros(())})

    def _function(self, node: ir.Node, outputs: list[str]) -> Json:
        attributes = _attributes(node)
        moved = _MOVED.get(node.op_type, {})
        computed: dict[str, str] = {}
        for index, name in moved.items():
            if not _has(node, index):
                continue
            if _contents(node.inputs[index]) is None and node.op_type in _MAY_BE_COMPUTED:
                computed[name] = str(node.inputs[index].name)  # type: ignore[union-attr]
                continue
            value = self._given(node, index)
            attributes[name] = (
                value.reshape(-1)[0].item() if name in _SCALARS else value.reshape(-1).tolist()
            )
        if computed:
            attributes["computed"] = list(computed)
        if node.op_type == "ConstantOfShape":
            given = node.attributes.get("value")
            filling = np.zeros(1, np.float32) if given is None else given.as_tensor().numpy()
            attributes |= {"value": filling.reshape(-1)[0].item(), "type": str(filling.dtype)}
        if node.op_type == "Resize":
            check_resize(node, attributes)
        if node.op_type == "Pad" and attributes.get("mode", "constant") != "constant":
            raise refused(node, f"of mode {attributes['mode']}")
        if node.op_type in ("AveragePool", "MaxPool"):
            check_pool(node, attributes)
        if node.op_type != "Split" and any(v.uses() for v in node.outputs[1:]):
            raise refused(node, "whose second output is read")
        inputs = [
            self._operand(node, i)
            for i, value in enumerate(node.inputs)
            if value is not None and i not in moved
        ]
        return {
            "op": node.op_type,
            "inputs": [*inputs, *computed.values()],
            "outputs": outputs,
            "layer": "",
            "sizes": {},
            "attributes": attributes,
        }

    def _operand(self, node: ir.Node, index: int) -> str:
        value = node.inputs[index]
        if value is None:
            raise refused(node, f"without its input {index}")
        array = _contents(value)
        if array is None:
            return str(value.name)
        if str(array.dtype) in _WHOLE:
            return self._whole(str(value.name), array)
        # Modules have names of their own, such as half and type.
        key = f"c_{str(value.name).replace('.', '_')}"
        if array.dtype != np.float32:
            raise refused(node, f"with a constant operand of {array.dtype}")
        self.constants[key] = list(array.shape)
        self.weights[f"constants.{key}"] = np.array(array)
        return f"={key}"

    def _whole(self, name: str, array: Array) -> str:
        """The name of a constant that is no real numbers: made by a node."""
        numbers = {
            "value": array.reshape(-1).tolist(),
            "type": str(array.dtype),
            "shape": list(array.shape),
        }
        self.whole[name] = {
            "op": "Constant",
            "inputs": [],
            "outputs": [name],
            "layer": "",
            "sizes": {},
            "attributes": numbers,
        }
        return name

    def _given(self, node: ir.Node, index: int) -> Array:
        array = _contents(node.inputs[index])
        if array is None:
            raise refused(node, f"whose input {index} is computed, not a constant")
        return array


def _attributes(node: ir.Node) -> Json:
    found: Json = {}
    for name, attribute in node.attributes.items():
        value = attribute.value
        if isinstance(value, (int, float, str)):
            found[name] = value
        elif isinstance(value, (list, tuple)):
            found[name] = list(value)
    return found


def _contents(value: ir.Value | None) -> Array | None:
    if value is None or value.is_graph_input():
        return None
    if value.const_value is not None:
        return value.const_value.numpy()
    made = value.producer()
    if made is not None and _constant_node(made):
        return made.attributes["value"].as_tensor().numpy()
    return None


def _constant_node(node: ir.Node) -> bool:
    return node.op_type == "Constant" and "value" in node.attributes


def _matrix(node: ir.Node) -> Array | None:
    array = _contents(node.inputs[1])
    return array if array is not None and array.ndim == 2 else None


def _has(node: ir.Node, index: int) -> bool:
    return index < len(node.inputs) and node.inputs[index] is not None


def _rank(node: ir.Node) -> int:
    value = (
        node.inputs[0] if node.inputs[0] is not None and node.inputs[0].shape else node.outputs[0]
    )
    return len(value.shape) if value is not None and value.shape is not None else 4

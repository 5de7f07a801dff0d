"""A float network given as a list of ONNX nodes: what a teacher, or anything exported, is for pruning and training.

    params, weights = export.from_ir(model)                     the description is JSON, the weights are arrays
    network = students.rebuild(ArchSpec(family="network", params=params))
    network.load_state_dict(weights)

Nodes with weights become torch modules, so that tools which look for modules find them; the others are functions
(`functions.py`). Values are called what they are called in the graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from squeeze.errors import ConfigError
from squeeze.spec import Frozen
from squeeze.students import shapes
from squeeze.students.activations import Attributes
from squeeze.students.functions import FUNCTIONS as OF_NUMBERS
from squeeze.students.functions import padded

FAMILY = "network"
FUNCTIONS = {**OF_NUMBERS, **shapes.FUNCTIONS}
# One tensor, or by the names of a network's inputs where it has several.
Inputs = Tensor | Mapping[str, Tensor]
_CONV: tuple[type[nn.Conv1d | nn.Conv2d], ...] = (nn.Conv1d, nn.Conv2d)


class Node(Frozen):
    """One operator. `inputs`: names of values, or of `constants` behind a '='. `layer`: the key of its module, or "";
    `sizes`: what the module is made from."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    layer: str = ""
    sizes: dict[str, Any] = Field(default_factory=dict)  # Any: numbers and lists of numbers
    attributes: Attributes = Field(default_factory=dict)


class Description(Frozen):
    """A network. `constants`: float operands -> shape."""

    inputs: tuple[str, ...]
    output: str
    nodes: tuple[Node, ...]
    constants: dict[str, tuple[int, ...]] = Field(default_factory=dict)


class Network(nn.Module):
    """The network of a description: one tensor out, one in, or several by their names. Weights are zero until they are
    loaded.

    Raises ConfigError when the description names an operator that has no module and no function.
    """

    def __init__(self, params: dict[str, Any]) -> None:  # Any: JSON
        super().__init__()
        known = Description.model_validate(params)
        self.inputs, self.output = known.inputs, known.output
        # Plain and mutable: pruning changes the sizes of splits.
        self.nodes = [node.model_dump() for node in known.nodes]
        self.layers = nn.ModuleDict()
        for node in known.nodes:
            if node.layer:
                self.layers[node.layer] = _module(node)
            elif node.op not in FUNCTIONS:
                raise ConfigError(
                    f"network: {node.op} '{node.outputs[0]}' is not known to torch training"
                )
        self.constants = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(shape)) for name, shape in known.constants.items()}
        )

    def forward(self, x: Inputs) -> Tensor:
        """[n, ...] -> the output of the graph."""
        values = self.given(x)
        for node, done in zip(self.nodes, self.last_read(self.output), strict=True):
            found = self.compute(node, [self.operand(values, name) for name in node["inputs"]])
            results = found if isinstance(found, tuple) else (found,)
            values.update(zip(node["outputs"], results, strict=False))
            for name in done:
                values.pop(name, None)
        return values[self.output]

    def given(self, x: Inputs) -> dict[str, Tensor]:
        """The inputs by their names."""
        return {self.inputs[0]: x} if isinstance(x, Tensor) else {n: x[n] for n in self.inputs}

    def last_read(self, kept: str) -> list[list[str]]:
        """For each node the values that nobody needs behind it, so that they need not be held; `kept` never is one."""
        last = {name: i for i, node in enumerate(self.nodes) for name in node["inputs"]}
        found: list[list[str]] = [[] for _ in self.nodes]
        for name, i in last.items():
            if name != kept:
                found[i].append(name)
        return found

    def compute(self, node: dict[str, Any], x: list[Tensor]) -> Any:  # Any: a tensor, or several
        """What one node makes of its tensors."""
        attributes = node["attributes"]
        if not node["layer"]:
            return FUNCTIONS[node["op"]](*shapes.arranged(node["op"], attributes, x))
        return self.layers[node["layer"]](self.padded(node, x[0]))

    def description(self) -> dict[str, Any]:  # Any: JSON
        """The network with the sizes that its modules have now, so that a pruned one can be built again."""
        nodes = [
            {**node, "sizes": _sizes(self.layers[node["layer"]])} if node["layer"] else node
            for node in self.nodes
        ]
        found = Description(
            inputs=self.inputs,
            output=self.output,
            nodes=tuple(Node.model_validate(n) for n in nodes),
            constants={name: tuple(p.shape) for name, p in self.constants.items()},
        )
        return found.model_dump(mode="json")

    def padded(self, node: dict[str, Any], value: Tensor) -> Tensor:
        """With the borders of a convolution that pads its two ends differently; others pad themselves."""
        pads = node["attributes"].get("pads")
        if pads is None:
            return value
        half = len(pads) // 2
        return padded(value, pads[:half], pads[half:], 0.0)

    def operand(self, values: dict[str, Tensor], name: str) -> Tensor:
        """One of `values`, or of the constants."""
        return self.constants[name[1:]] if name.startswith("=") else values[name]


def _module(node: Node) -> nn.Module:
    sizes = node.sizes
    if node.op == "Conv":
        kind = _CONV[len(sizes["kernel"]) - 1]
        return kind(
            sizes["inputs"],
            sizes["outputs"],
            tuple(sizes["kernel"]),
            tuple(sizes["stride"]),
            tuple(sizes["padding"]),
            tuple(sizes["dilation"]),
            groups=sizes["groups"],
            bias=sizes["bias"],
        )
    if node.op in ("Gemm", "MatMul"):
        return nn.Linear(sizes["inputs"], sizes["outputs"], bias=sizes["bias"])
    if node.op == "BatchNormalization":
        norm = nn.BatchNorm2d if sizes["rank"] == 4 else nn.BatchNorm1d
        return norm(sizes["outputs"], eps=sizes["eps"])
    if node.op == "LayerNormalization":
        return nn.LayerNorm(sizes["outputs"], eps=sizes["eps"])
    raise ConfigError(f"network: operator {node.op} has no module")


def _sizes(module: nn.Module) -> dict[str, Any]:  # Any: numbers and lists of numbers
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return {
            "inputs": module.in_channels,
            "outputs": module.out_channels,
            "kernel": list(module.kernel_size),
            "stride": list(module.stride),
            "padding": list(module.padding),
            "dilation": list(module.dilation),
            "groups": module.groups,
            "bias": module.bias is not None,
        }
    if isinstance(module, nn.Linear):
        return {
            "inputs": module.in_features,
            "outputs": module.out_features,
            "bias": module.bias is not None,
        }
    if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
        rank = 4 if isinstance(module, nn.BatchNorm2d) else 3
        return {"outputs": module.num_features, "eps": module.eps, "rank": rank}
    if isinstance(module, nn.LayerNorm):
        return {"outputs": module.normalized_shape[0], "eps": module.eps}
    raise ConfigError(f"network: {type(module).__name__} has no description")

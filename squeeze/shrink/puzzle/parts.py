"""Parts of a network that have one tensor in and one out, so that something else may stand in the place of each.

A waist is a value that everything behind it depends on and nothing else does: between two of them lies a stretch of
nodes. A part is a stretch of several convolutions (a residual block), or two stretches of one convolution that follow
each other (of a plain chain), with the activations behind it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from squeeze.shrink.blocks import shapes_of
from squeeze.students.network import Network

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from squeeze.shrink.walk import Node

# Of one tensor and elementwise: they belong to what is before them.
ACTIVATIONS = ("Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
_CONV = (nn.Conv1d, nn.Conv2d)
_MAP_RANKS = (3, 4)


@dataclass(frozen=True)
class Part:
    """entry, exit: the values before and behind it; nodes: the outputs of its nodes, in running order. rectified:
    whether a ReLU made its entry. before, behind: the shapes of one sample of its ends."""

    entry: str
    exit: str
    nodes: tuple[str, ...]
    rectified: bool
    before: tuple[int, ...]
    behind: tuple[int, ...]


def parts(network: Network, example: Tensor) -> tuple[Part, ...]:
    """The parts of `network`, which takes `example` [n, ...], in the order in which they run.

    Left alone: what makes no map of a map, one convolution between two others that are parts, and what shares a
    constant with nodes outside.
    """
    shapes = shapes_of(network, example)
    maker = {name: node for node in network.nodes for name in node["outputs"]}
    found: list[Part] = []
    waiting: tuple[str, list[Node]] | None = None  # one convolution that may be the first of two
    for entry, nodes in _stretches(network):
        count = _convolutions(network, nodes)
        if waiting is not None and count == 1:
            entry, nodes = waiting[0], [*waiting[1], *nodes]
            count = 2
        elif count == 1:
            waiting = entry, nodes
            continue
        waiting = None
        exit_ = nodes[-1]["outputs"][0]
        ends = shapes[entry], shapes[exit_]
        if count < 2 or any(len(shape) not in _MAP_RANKS for shape in ends):
            continue
        if _shares(network, nodes) or exit_ == network.output or not _reached(*ends):
            continue
        before = maker.get(entry)
        found.append(
            Part(
                entry,
                exit_,
                tuple(node["outputs"][0] for node in nodes),
                before is not None and before["op"] == "Relu",
                ends[0][1:],
                ends[1][1:],
            )
        )
    return tuple(found)


def inside(network: Network, part: Part) -> Network:
    """A copy of `part` alone: a network from its entry to its exit."""
    nodes = [node for node in network.description()["nodes"] if node["outputs"][0] in part.nodes]
    used = {name[1:] for node in nodes for name in node["inputs"] if name.startswith("=")}
    made = Network(
        {
            "inputs": (part.entry,),
            "output": part.exit,
            "nodes": nodes,
            "constants": {name: tuple(network.constants[name].shape) for name in used},
        }
    )
    state = network.state_dict()
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    return made.eval()


def joined(network: Network, pieces: Mapping[Part, Network]) -> Network:
    """A copy of `network` where each of these parts is what is given for it: a network that takes its entry and whose
    values have names of the part. One without nodes is nothing at all."""
    description = network.description()
    inner = {name: part for part in pieces for name in part.nodes}
    described = {part: piece.description() for part, piece in pieces.items()}
    read_as: dict[str, str] = {}
    nodes: list[Node] = []
    for node in description["nodes"]:
        part = inner.get(node["outputs"][0])
        if part is None:
            nodes.append(node)
        elif node["outputs"][0] == part.exit:
            nodes += described[part]["nodes"]
            if (output := described[part]["output"]) != part.exit:
                read_as[part.exit] = read_as.get(output, output)
    nodes = [
        {**node, "inputs": [read_as.get(name, name) for name in node["inputs"]]} for node in nodes
    ]
    used = {name[1:] for node in nodes for name in node["inputs"] if name.startswith("=")}
    constants = dict(description["constants"])
    state = network.state_dict()
    for part, piece in pieces.items():
        constants |= described[part]["constants"]
        state |= piece.state_dict()
    made = Network(
        {
            "inputs": description["inputs"],
            "output": description["output"],
            "nodes": nodes,
            "constants": {name: shape for name, shape in constants.items() if name in used},
        }
    )
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    return made.train(network.training)


def _stretches(network: Network) -> list[tuple[str, list[Node]]]:
    """What lies between two waists, with the one before it; activations are in the stretch before them."""
    found: list[tuple[str, list[Node]]] = []
    alive, entry, nodes = set(network.inputs), network.inputs[0], []
    for node, done in zip(network.nodes, network.last_read(network.output), strict=True):
        nodes.append(node)
        alive |= set(node["outputs"])
        alive -= {name for name in done if not name.startswith("=")}
        if alive != {node["outputs"][0]}:
            continue
        if found and len(nodes) == 1 and node["op"] in ACTIVATIONS:
            found[-1][1].append(node)
        else:
            found.append((entry, nodes))
        entry, nodes = node["outputs"][0], []
    return found


def _convolutions(network: Network, nodes: Sequence[Node]) -> int:
    """How many there are; none where there is another layer with weights that is no normalisation."""
    layers = [network.layers[node["layer"]] for node in nodes if node["layer"]]
    if any(isinstance(layer, nn.Linear) for layer in layers):
        return 0
    return sum(isinstance(layer, _CONV) for layer in layers)


def _shares(network: Network, nodes: Sequence[Node]) -> bool:
    """Whether a constant of these nodes is read by others too."""
    own = {node["outputs"][0] for node in nodes}
    readers: dict[str, set[bool]] = {}
    for node in network.nodes:
        for name in node["inputs"]:
            if name.startswith("="):
                readers.setdefault(name, set()).add(node["outputs"][0] in own)
    return any(len(sides) > 1 for sides in readers.values())


def _reached(before: Sequence[int], behind: Sequence[int]) -> bool:
    """Whether one convolution makes a map of the size behind of one of the size before: see `strides`."""
    return strides(before[2:], behind[2:]) is not None


def strides(before: Sequence[int], behind: Sequence[int]) -> tuple[int, ...] | None:
    """Of a convolution with an odd kernel and borders of half of it between maps of these sizes; None for none."""
    found = tuple(-(-size // max(1, made)) for size, made in zip(before, behind, strict=True))
    reached = tuple(-(-size // stride) for size, stride in zip(before, found, strict=True))
    return found if reached == tuple(behind) else None

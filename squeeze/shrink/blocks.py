"""Residual blocks of a network, and the network without some of them.

A block is a sum of two values of which one is enough: the branch that only the other needs goes, and what reads the
sum reads the summand that stays. Of a block with an identity shortcut that is its input, else its projection. Shapes
stay, for summands have the same one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from squeeze.shrink.walk import Node, walk
from squeeze.students.network import Network

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Block:
    """total: the output of the sum; kept: the summand that stays; layers: those that go with the other one."""

    total: str
    kept: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class Shortened:
    """A network with fewer blocks. stands_for: value of it -> the value of the whole network that its readers would
    have been given there; other values stand for those of their own name."""

    network: Network
    stands_for: Mapping[str, str] = field(default_factory=dict)


def blocks(network: Network, example: Tensor) -> tuple[Block, ...]:
    """The blocks of `network`, which takes `example` [n, ...], in the order in which they run.

    A sum is left alone where its summands differ in shape, where one is a constant, and where neither has layers of
    its own.
    """
    shapes = shapes_of(network, example)
    found = []
    for node in network.nodes:
        if node["op"] != "Add" or any(name.startswith("=") for name in node["inputs"]):
            continue
        one, other = node["inputs"]
        if one == other or shapes[one] != shapes[other]:
            continue
        total = node["outputs"][0]
        ways = [Block(total, kept, _layers_lost(network, total, kept)) for kept in (one, other)]
        # What costs more goes: a block, and not the projection beside it.
        longest = max(ways, key=lambda block: len(block.layers))
        if longest.layers:
            found.append(longest)
    return tuple(found)


def without(network: Network, gone: Collection[Block]) -> Shortened:
    """A copy of `network` without these blocks; the network itself, copied, where there are none."""
    nodes, output, stands_for = _bypassed(
        network.nodes, network.output, {b.total: b.kept for b in gone}
    )
    description = network.description()
    used = {name[1:] for node in nodes for name in node["inputs"] if name.startswith("=")}
    # Sizes are those that the modules have by now: of a node they may be from before a cut.
    sized = {node["layer"]: node["sizes"] for node in description["nodes"] if node["layer"]}
    made = Network(
        {
            "inputs": description["inputs"],
            "output": output,
            "nodes": [{**node, "sizes": sized.get(node["layer"], {})} for node in nodes],
            "constants": {n: s for n, s in description["constants"].items() if n in used},
        }
    )
    state = network.state_dict()
    made.load_state_dict({name: state[name] for name in made.state_dict()})
    return Shortened(made.train(network.training), stands_for)


def _bypassed(
    nodes: Sequence[Node], output: str, kept: Mapping[str, str]
) -> tuple[list[Node], str, dict[str, str]]:
    """The nodes that are still needed where each sum is what it keeps, the output's name, and what stands for what."""
    read_as: dict[str, str] = {}
    stands_for: dict[str, str] = {}
    maker = {name: node for node in nodes for name in node["outputs"]}
    left = []
    for node in nodes:
        inputs = tuple(read_as.get(name, name) for name in node["inputs"])
        made = node["outputs"][0]
        if made in kept:
            stays = read_as.get(kept[made], kept[made])
            read_as[made], stands_for[stays] = stays, made
            continue
        before = maker.get(inputs[0]) if inputs else None
        rectified = node["op"] == "Relu" and before is not None and before["op"] == "Relu"
        if rectified and node["inputs"][0] in read_as:  # twice is as once
            assert before is not None
            stays = inputs[0]
            read_as[made] = stays
            # What is rectified stands for what was.
            stands_for[read_as.get(before["inputs"][0], before["inputs"][0])] = stands_for[stays]
            stands_for[stays] = made
            continue
        left.append({**node, "inputs": inputs})
    output = read_as.get(output, output)
    return _needed(left, output), output, stands_for


def _needed(nodes: Sequence[Node], output: str) -> list[Node]:
    """Those that the output depends on."""
    wanted, found = {output}, []
    for node in reversed(nodes):
        if wanted & set(node["outputs"]):
            wanted |= set(node["inputs"])
            found.append(node)
    return found[::-1]


def _layers_lost(network: Network, total: str, kept: str) -> tuple[str, ...]:
    """The layers that nothing needs any more where the sum is its summand `kept`."""
    nodes, _, _ = _bypassed(network.nodes, network.output, {total: kept})
    stay = Counter(node["layer"] for node in nodes)
    return tuple(n["layer"] for n in network.nodes if n["layer"] and n["layer"] not in stay)


def shapes_of(network: Network, example: Tensor) -> dict[str, tuple[int, ...]]:
    """The shape of every value."""
    found = {name: tuple(value.shape) for name, value in network.given(example).items()}

    def note(_: Node, values: Mapping[str, Tensor]) -> None:
        found.update({name: tuple(value.shape) for name, value in values.items()})

    walk(network, example, after=note)
    return found

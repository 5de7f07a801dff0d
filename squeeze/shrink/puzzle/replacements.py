"""What may stand in the place of a part: the same with fewer inner channels, something simpler, or nothing.

half, quarter   its own nodes with about that share of its products, weights inherited and refitted (least squares)
convolution     one dense convolution for all of them
separable       a depthwise convolution, ReLU and a pointwise one (Howard et al., "MobileNets", 2017)
pointwise       one convolution of one place
none            nothing, where what goes in has the shape of what comes out

A shortcut around the part stays in `separable`; what is one convolution takes it into its weights. The activations at
the end stay. Layers and values are called as those of the part are, so that they fit where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from squeeze.errors import UnsupportedError
from squeeze.prune import importance, prune_once
from squeeze.shrink.least_squares import patches_at, positions, refit, rows_at
from squeeze.shrink.puzzle.parts import ACTIVATIONS, strides
from squeeze.shrink.reconstruct import reconstruct, rows_of
from squeeze.shrink.walk import walk
from squeeze.students.network import Network

if TYPE_CHECKING:
    from collections.abc import Sequence

    from squeeze.prune.units import Bundle, Scores
    from squeeze.shrink.puzzle.parts import Part
    from squeeze.shrink.walk import Node

SHARES = {"half": 0.5, "quarter": 0.25}
_CONV = (nn.Conv1d, nn.Conv2d)
_PLACES = 8  # of each sample's map
# Of the weights that a depthwise convolution begins with, beside the place in the middle.
_SPREAD = 0.1
# Weights that begin at nothing are to become what the samples say.
_RIDGE = 1e-3


def replacements(
    whole: Network, part: Part, x: Tensor, align: int, seed: int
) -> dict[str, Network]:
    """Every replacement of `part` that there is, by kind, as a network from its entry to its exit.

    whole: `parts.inside` of it; x: [n, ...] what enters it, which weights are refitted on; align: channels that stay
    are a multiple of it; seed: of what begins at random.
    """
    found: dict[str, Network] = {}
    for kind, share in SHARES.items():
        narrow = _narrow(whole, x, share, align)
        if narrow is not None:
            found[kind] = narrow
    plan = _Plan(whole, part, x)
    found["convolution"] = plan.one(plan.kernel)
    found["separable"] = plan.separable(seed)
    if max(plan.kernel) > 1:
        found["pointwise"] = plan.one([1] * len(plan.kernel))
    if part.before == part.behind:
        found["none"] = plan.nothing(part)
    return found


def _narrow(whole: Network, x: Tensor, share: float, align: int) -> Network | None:
    """`whole` with about this share of its products; None where nothing inside of it can go, or not that much."""

    def score(module: nn.Module, bundles: Sequence[Bundle]) -> Scores:
        return importance("l2")(module, bundles, ())

    try:
        pruned = prune_once(whole, x[:2], ratio=1 - share, score=score, scope="group", align=align)
    except UnsupportedError:
        return None
    # Wide steps of `align` may end anywhere.
    if not pruned.removed or pruned.macs_after > (share + 0.2) * pruned.macs_before:
        return None
    made = pruned.module
    assert isinstance(made, Network)  # a copy of one
    reconstruct(made, pruned.gone, {}, rows_of(whole, x), x)
    return made


class _Plan:
    """Replacements that are built from nothing: what they are made of is named after layers and values of the part."""

    def __init__(self, whole: Network, part: Part, x: Tensor) -> None:
        self.whole, self.x = whole, x
        nodes = whole.description()["nodes"]
        count = next(i for i, node in enumerate(reversed(nodes)) if node["op"] not in ACTIVATIONS)
        self.body, self.tail = nodes[: len(nodes) - count], nodes[len(nodes) - count :]
        self.core = self.body[-1]["outputs"][0]  # before the activations at the end
        names = [node["layer"] for node in self.body if node["layer"]]
        convolutions = {
            name: layer for name in names if isinstance(layer := whole.layers[name], _CONV)
        }
        self.first, *_, self.last = convolutions
        self.inputs, self.outputs = part.before[0], part.behind[0]
        found = strides(part.before[1:], part.behind[1:])
        assert found is not None  # `parts` left others alone
        self.stride = list(found)
        kernels = [layer.kernel_size for layer in convolutions.values()]
        # The largest, and odd, so that borders of half of it keep the size.
        self.kernel = [max(sizes) // 2 * 2 + 1 for sizes in zip(*kernels, strict=True)]
        self.shortcut = self.body[-1]["op"] == "Add" and part.entry in self.body[-1]["inputs"]

    def one(self, kernel: list[int]) -> Network:
        """One convolution with the shortcut in its weights, the best that least squares know."""
        made = self._network([self._conv(self.last, self.entry, self.core, kernel)])
        layer = made.layers[self.last]
        assert isinstance(layer, _CONV)
        if self.shortcut:
            with torch.no_grad():
                _middle(layer.weight).copy_(torch.eye(self.outputs, self.inputs))
        self._solve(made, self.last, self._wanted())
        return made

    def separable(self, seed: int) -> Network:
        """A depthwise convolution that begins near to doing nothing, the pointwise one behind it by least squares."""
        deep = f"{self.core}.deep"
        rectified = f"{self.core}.rectified"
        nodes = [
            self._conv(self.first, self.entry, deep, self.kernel, groups=self.inputs),
            _node("Relu", [deep], rectified),
        ]
        added = f"{self.core}.added" if self.shortcut else self.core
        nodes.append(
            self._conv(
                self.last,
                rectified,
                added,
                [1] * len(self.kernel),
                inputs=self.inputs,
                stride=[1] * len(self.kernel),
            )
        )
        if self.shortcut:
            nodes.append(_node("Add", [added, self.entry], self.core))
        made = self._network(nodes)
        generator = torch.Generator().manual_seed(seed)
        weight = made.layers[self.first].weight
        assert isinstance(weight, Tensor)
        with torch.no_grad():
            weight.copy_(_SPREAD * torch.randn(weight.shape, generator=generator))
            _middle(weight).add_(1.0)
        wanted = self._wanted()
        self._solve(made, self.last, wanted - self.x if self.shortcut else wanted)
        return made

    def nothing(self, part: Part) -> Network:
        """What goes in, through the activations at the end where they would do something to it."""
        if part.rectified and [node["op"] for node in self.tail] == ["Relu"]:  # twice is as once
            return Network({"inputs": [self.entry], "output": self.entry, "nodes": []}).eval()
        return self._network([])

    @property
    def entry(self) -> str:
        """The value that goes in."""
        return self.whole.inputs[0]

    def _network(self, nodes: list[Node]) -> Network:
        tail = [dict(node) for node in self.tail]
        if not nodes and tail:
            tail[0]["inputs"] = [self.entry]
        used = {name[1:] for node in tail for name in node["inputs"] if name.startswith("=")}
        constants = {name: tuple(self.whole.constants[name].shape) for name in used}
        output = self.whole.output if nodes or tail else self.entry
        made = Network(
            {
                "inputs": [self.entry],
                "output": output,
                "nodes": [*nodes, *tail],
                "constants": constants,
            }
        )
        with torch.no_grad():
            # Layers are made with numbers of whatever generator there is.
            for parameter in made.parameters():
                parameter.zero_()
            for name in used:
                made.constants[name].copy_(self.whole.constants[name])
        return made.eval()

    def _conv(
        self,
        layer: str,
        source: str,
        output: str,
        kernel: list[int],
        *,
        groups: int = 1,
        inputs: int = 0,
        stride: list[int] | None = None,
    ) -> Node:
        wide = groups if groups > 1 else self.outputs
        sizes = {
            "inputs": inputs or self.inputs,
            "outputs": wide,
            "kernel": kernel,
            "stride": self.stride if stride is None else stride,
            "padding": [size // 2 for size in kernel],
            "dilation": [1] * len(kernel),
            "groups": groups,
            "bias": True,
        }
        return {**_node("Conv", [source], output), "layer": layer, "sizes": sizes}

    def _wanted(self) -> Tensor:
        """What the part makes of the samples before the activations at its end."""
        found: list[Tensor] = []

        def note(node: Node, values: Any) -> None:  # Any: as `walk` gives them
            found.extend(values[name] for name in node["outputs"] if name == self.core)

        walk(self.whole, self.x, after=note)
        return found[0]

    def _solve(self, made: Network, name: str, wanted: Tensor) -> None:
        """Refits one convolution of `made` so that it makes `wanted` [n, c, ...]."""
        places = positions(tuple(wanted.shape), _PLACES)

        def fit(node: Node, operands: list[Tensor], _: Any) -> None:  # Any: as `walk` gives them
            if node["layer"] != name:
                return
            layer = made.layers[name]
            assert isinstance(layer, _CONV)
            assert layer.bias is not None
            weight, bias = refit(
                layer.weight.detach().reshape(1, len(layer.weight), -1),
                layer.bias.detach()[None],
                patches_at(made, node, layer, operands[0], places),
                rows_at(wanted, places)[None],
                _RIDGE,
            )
            assert bias is not None  # it was given
            layer.weight.copy_(weight.reshape(layer.weight.shape))
            layer.bias.copy_(bias[0])

        walk(made, self.x, before=fit)


def _node(op: str, inputs: list[str], output: str) -> Node:
    return {
        "op": op,
        "inputs": inputs,
        "outputs": [output],
        "layer": "",
        "sizes": {},
        "attributes": {},
    }


def _middle(weight: Tensor) -> Tensor:
    """[o, i, ...] -> [o, i]: what is multiplied with the place itself."""
    for size in weight.shape[2:]:
        weight = weight.select(2, size // 2)
    return weight

"""The weights of a child refitted layer by layer, so that its values come near those of the whole network.

Layers are refitted in the order in which they run, each on what those before it make by now (He et al., ICCV 2017). A
layer whose output is added to something makes up for what that lacks, so that a sum comes near the sum it stands for:
the last block before those that went takes over what they did.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor, nn

from squeeze.shrink.least_squares import RIDGE, patches_at, positions, refit, rows_at
from squeeze.shrink.walk import Node, walk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from squeeze.prune.units import Removal
    from squeeze.students.network import Network

# Of all samples together: with fewer samples there are more places of each one's map.
_ROWS = 2048
_CONV = (nn.Conv1d, nn.Conv2d)

Rows = Mapping[str, Tensor]  # value -> [r, c]


def rows_of(network: Network, x: Tensor) -> Rows:
    """What layers and sums of `network` make of x [n, ...], at some places of each map, two thousand
    or fewer in all: [n * places, channels]."""
    found: dict[str, Tensor] = {}

    def note(node: Node, values: Mapping[str, Tensor]) -> None:
        if node["layer"] or node["op"] == "Add":
            for name, value in values.items():
                if value.ndim >= 2:
                    found[name] = rows_at(_mapped(value), _places(value))

    walk(network, x, after=note)
    return found


def reconstruct(
    child: Network,
    gone: Removal,
    stands_for: Mapping[str, str],
    rows: Rows,
    x: Tensor,
    ridge: float = RIDGE,
) -> None:
    """Refits the layers of `child` in place.

    gone: the channels of the whole network that it lacks. rows: `rows_of` the whole network for the same x. Layers
    that run on more than maps and rows stay as they are.
    """
    fit = _Fit(child, gone, stands_for, rows, ridge)
    walk(child, x, before=fit.layer)


class _Fit:
    def __init__(
        self,
        child: Network,
        gone: Removal,
        stands_for: Mapping[str, str],
        rows: Rows,
        ridge: float,
    ) -> None:
        self.child, self.gone, self.stands_for = child, gone, stands_for
        self.rows, self.ridge = rows, ridge
        self.readers = Counter(name for node in child.nodes for name in node["inputs"])
        self.sums = {
            name: node for node in child.nodes if node["op"] == "Add" for name in node["inputs"]
        }

    def layer(self, node: Node, operands: list[Tensor], values: Mapping[str, Tensor]) -> None:
        """Refits the layer of a node that is about to run."""
        if not node["layer"]:
            return
        module, x = self.child.layers[node["layer"]], operands[0]
        assert isinstance(module, nn.Module)
        if isinstance(module, _CONV) or (isinstance(module, nn.Linear) and x.ndim == 2):
            made = self.child.compute(node, operands)
            wanted = self._wanted(node, module, made, values)
            if wanted is not None:
                self._set(node, module, x, made, wanted)

    def _set(self, node: Node, module: nn.Module, x: Tensor, made: Tensor, wanted: Tensor) -> None:
        groups = 1
        if isinstance(module, _CONV):
            groups = module.groups
            seen = patches_at(self.child, node, module, x, _places(made))
        else:
            seen = x[None]
        weight, bias = module.weight, module.bias
        assert isinstance(weight, Tensor)
        found, shift = refit(
            weight.detach().reshape(groups, len(weight) // groups, -1),
            None if bias is None else bias.detach().reshape(groups, -1),  # type: ignore[operator]
            seen,
            wanted.reshape(len(wanted), groups, -1).transpose(0, 1),
            self.ridge,
        )
        weight.copy_(found.reshape(weight.shape))
        if shift is not None:
            bias.copy_(shift.flatten())  # type: ignore[operator]

    def _wanted(
        self, node: Node, module: nn.Module, made: Tensor, values: Mapping[str, Tensor]
    ) -> Tensor | None:
        """What the layer is to make, [r, o]: None where the whole network has no such value."""
        name = node["outputs"][0]
        kept = self._kept(node["layer"], name)
        if name not in self.stands_for and self.readers[name] == 1 and name in self.sums:
            total = self.sums[name]
            (other,) = (n for n in total["inputs"] if n != name)
            target = self.rows.get(self.stands_for.get(total["outputs"][0], total["outputs"][0]))
            if other in values and target is not None:
                beside = values[other]
                return target[:, kept] - rows_at(_mapped(beside), _places(beside))
        target = self.rows.get(self.stands_for.get(name, name))
        return None if target is None else target[:, kept]

    def _kept(self, layer: str, name: str) -> NDArray[np.int64]:
        lost = self.gone.get((f"layers.{layer}", "out"), np.array([], np.int64))
        return np.setdiff1d(np.arange(self.rows[name].shape[1]), lost)


def _places(value: Tensor) -> Tensor:
    return positions(tuple(_mapped(value).shape), max(1, _ROWS // len(value)))


def _mapped(value: Tensor) -> Tensor:
    """Rows as maps of one place."""
    return value if value.ndim > 2 else value[..., None]

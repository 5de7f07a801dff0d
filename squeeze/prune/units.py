"""What is removed together: the words that coupling, importance, planning and surgery share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from squeeze.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Side = Literal["in", "out", "pad", "split"]
# The name of a layer or weight and which of its sides; of a Network's split or padding its number. Layers that keep
# their channels apart (normalisation, depthwise convolution) have the side "out" alone.
Place = tuple[str, Side]
# Channels that go, sorted, per place.
Removal = Mapping[Place, "NDArray[np.int64]"]


@dataclass(frozen=True)
class Unit:
    """Channels of several layers that can only go together: the smallest thing that is pruned.

    slot: units of one bundle and one slot may be exchanged for one another; all slots of a bundle lose equally many
    (the groups of a grouped convolution, the halves of a chunk).
    """

    members: tuple[tuple[Place, tuple[int, ...]], ...]
    slot: int = 0


@dataclass(frozen=True)
class Bundle:
    """Units of the same layers, or of layers that a grouped convolution or a fixed split ties. `slots`: how many there
    are, of equally many units; `alike`: how many of them end in the same layers."""

    name: str
    units: tuple[Unit, ...]
    slots: int = 1
    alike: int = 1

    @property
    def places(self) -> tuple[Place, ...]:
        """Of all its units, in the order of the network."""
        return tuple(dict.fromkeys(place for unit in self.units for place, _ in unit.members))

    def members(self, place: Place) -> list[tuple[int, ...]]:
        """For each unit its channels in `place`."""
        return [dict(unit.members).get(place, ()) for unit in self.units]


@dataclass(frozen=True)
class Coupling:
    """All that may be pruned in a module, and what is left alone and why (layers -> reason)."""

    bundles: tuple[Bundle, ...]
    left: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Scores:
    """How much each unit matters, per bundle in the order of Coupling.bundles; None where it cannot be said.

    additive: scores of different bundles are parts of one loss, so what counts is the score per MAC that is saved;
    otherwise they compare as they are.
    """

    values: tuple[NDArray[np.float64] | None, ...]
    additive: bool = False


@dataclass(frozen=True)
class Samples:
    """Samples that an importance looks at. labels: [n] classes or [n, ...] numbers; teacher: logits [n, c]."""

    x: Tensor
    labels: Tensor | None = None
    teacher: Tensor | None = None


def removal(units: Iterable[Unit]) -> Removal:
    """The channels that go when these units go."""
    found: dict[Place, set[int]] = defaultdict(set)
    for unit in units:
        for place, channels in unit.members:
            found[place].update(channels)
    return {place: np.array(sorted(channels), np.int64) for place, channels in found.items()}


def check_samples(batches: Sequence[Samples], name: str) -> None:
    """Raises ConfigError when there are none."""
    if not batches:
        raise ConfigError(f"pruning: importance '{name}' needs samples, got none; use 'l2' without")

"""Batch normalisation's scales (Liu et al., "Learning Efficient Convolutional Networks through Network Slimming",
ICCV 2017), those of a network whose normalisation is folded too.

A normalisation with the statistics of the data multiplies what has deviation 1 by its scale: the scale is the deviation
of what it gives. In a folded network the layer itself gives that, so its deviation over samples is the scale that was
folded away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from squeeze.prune.importances.channels import channels
from squeeze.prune.units import Scores, check_samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from squeeze.prune.units import Bundle, Samples

_NORM = (nn.BatchNorm1d, nn.BatchNorm2d)
_MAKERS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def score(
    module: nn.Module,
    bundles: Sequence[Bundle],
    batches: Sequence[Samples] = (),
) -> Scores:
    """|gamma| of the channel, the mean over the normalisations of the bundle; where a bundle has none, the deviation of
    what its convolutions and linear layers give, over all samples and positions, the mean over these layers.

    Scales of all layers compare as they are. Raises ConfigError when samples are needed and there are none.
    """
    layers = dict(module.named_modules())
    scales: dict[str, NDArray[np.float64]] = {}
    bare: list[str] = []
    for bundle in bundles:
        made = [name for name, side in bundle.places if side == "out"]
        norms = [name for name in made if isinstance(layers.get(name), _NORM)]
        for name in norms:
            if (found := channels(module, (name, "out"), torch.abs)) is not None:
                scales[name] = found
        if not norms:
            bare += [name for name in made if isinstance(layers.get(name), _MAKERS)]
    if bare:
        check_samples(batches, "bn")
        scales |= _deviations(module, {name: layers[name] for name in bare}, batches)
    return Scores(tuple(_bundle(scales, bundle) for bundle in bundles))


def _bundle(scales: dict[str, NDArray[np.float64]], bundle: Bundle) -> NDArray[np.float64] | None:
    found = []
    for place in bundle.places:
        name, side = place
        if side == "out" and name in scales:
            members = bundle.members(place)
            found.append([scales[name][list(m)].sum() if m else np.nan for m in members])
    return np.nanmean(np.array(found), axis=0) if found else None


@torch.no_grad()
def _deviations(
    module: nn.Module, layers: dict[str, nn.Module], batches: Sequence[Samples]
) -> dict[str, NDArray[np.float64]]:
    """For each layer the deviation of each of its channels over all samples and positions."""
    counts = dict.fromkeys(layers, 0)
    totals: dict[str, Tensor] = {}  # [2, c]: sums and sums of squares

    def note(name: str, layer: nn.Module, output: Tensor) -> None:
        # Channels last: [n, ..., c] -> [n * positions, c].
        rows = output.double().movedim(-1 if isinstance(layer, nn.Linear) else 1, -1).flatten(0, -2)
        counts[name] += len(rows)
        more = torch.stack([rows.sum(0), rows.square().sum(0)])
        totals[name] = totals[name] + more if name in totals else more

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: note(name, layer, output))
        for name, layer in layers.items()
    ]
    training = module.training
    module.eval()
    try:
        for batch in batches:
            module(batch.x)
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    found = {}
    for name, total in totals.items():
        mean, square = total / counts[name]
        found[name] = (square - mean.square()).clamp_min(0).sqrt().cpu().numpy()
    return found

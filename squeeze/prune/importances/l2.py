"""Magnitude: squared L2 norms of the weights of a unit (Fang et al., "DepGraph", CVPR 2023, section 3.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from squeeze.prune.importances.channels import channels
from squeeze.prune.units import Scores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import nn

    from squeeze.prune.units import Bundle, Samples


def score(
    module: nn.Module,
    bundles: Sequence[Bundle],
    batches: Sequence[Samples] = (),
) -> Scores:
    """Per layer sum of w^2 over the channel's weights, divided by its mean over the bundle; then the mean over layers.

    1 is the average unit of each bundle, so bundles compare with one another. Samples are not looked at.
    """
    return Scores(tuple(_bundle(module, bundle) for bundle in bundles))


def _bundle(module: nn.Module, bundle: Bundle) -> NDArray[np.float64]:
    found = []
    for place in bundle.places:
        squares = channels(module, place, lambda weight: weight**2)
        if squares is None:
            continue
        units = np.array([squares[list(m)].sum() if m else np.nan for m in bundle.members(place)])
        mean = np.nanmean(units)
        if mean > 0:
            found.append(units / mean)
    return np.nanmean(found, axis=0) if found else np.ones(len(bundle.units))

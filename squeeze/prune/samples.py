"""The samples that importance is taken from: some of the fit split, with labels and what the teacher says of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from squeeze.prune.units import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from squeeze.calib import Calib

_MOST = 256
_BATCH = 64


def samples_of(
    calib: Calib, logits: Callable[[NDArray[np.generic]], NDArray[np.float32]]
) -> list[Samples]:
    """The first 256 of the fit split in batches, with their labels. logits: what the teacher says of [n, ...], [n, c].

    Raises UnsupportedError for data of several inputs.
    """
    found = []
    for start in range(0, min(_MOST, len(calib.fit)), _BATCH):
        x = calib.inputs(calib.fit, start, start + _BATCH)
        y = calib.fit.y
        labels = None if y is None else _tensor(y[start : start + _BATCH])
        found.append(Samples(torch.from_numpy(x), labels, torch.from_numpy(logits(x))))
    return found


def _tensor(labels: NDArray[np.generic]) -> Tensor:
    """Classes as integers, numbers in the precision of what a network says."""
    found = torch.from_numpy(labels)
    return found.float() if found.is_floating_point() else found.long()

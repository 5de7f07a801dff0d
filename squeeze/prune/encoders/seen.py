"""Texts that the importance of heads and channels is taken from: some of the fit split, with their labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from squeeze.train.supernet.samples import Samples

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.students.encoder import Params

_MOST = 256
_BATCH = 32


@dataclass(frozen=True)
class Seen:
    """One batch. x: of each input, in the encoder's order, [n, s]. labels: [n] classes or [n, ...] numbers."""

    x: tuple[Tensor, ...]
    labels: Tensor | None = None


def seen_of(calib: Calib, params: Params) -> list[Seen]:
    """The first 256 of the fit split, those of a batch of like lengths."""
    texts, y = Samples(calib, calib.fit, params), calib.fit.y
    found = []
    for samples in texts.in_order(_BATCH, _MOST):
        labels = None if y is None else torch.from_numpy(y[samples])
        found.append(Seen(tuple(texts.at(samples)), labels))
    return found

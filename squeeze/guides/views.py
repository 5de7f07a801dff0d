"""A view of a fit sample: what the teacher answers once and the student then sees again and again.

View v of sample i is a function of (seed, i, v) alone, so nothing but the teacher's answer is stored (Shen and Xing,
"A Fast Knowledge Distillation Framework for Visual Recognition", 2022). A share of the views are blends of two
samples; the teacher answers the blend itself (Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent", 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from squeeze.feed import as_taken
from squeeze.guides import augment
from squeeze.guides.draw import Draws

if TYPE_CHECKING:
    from squeeze.calib import Calib
    from squeeze.feed import Feed
    from squeeze.spec import DistillPart

MIX = 0.5  # the share of views which blend two samples
Array = NDArray[Any]  # Any: float32, or the integers of tokens

_MIX_SLOT, _PARTNER_SLOT, _WEIGHT_SLOT = 100, 101, 102


@dataclass(frozen=True)
class Seen:
    """`x`: [n, ...] preprocessed, of several inputs by their names. `labels`: [n] or [n, ...] as in the data, [n, c]
    shares of classes, or None; maps of labels only where no sample is changed, for they do not move with it."""

    x: Array | Feed
    labels: Array | None


class Views:
    """All views of the fit split, made when asked for. Where nothing changes a sample, it has one view alone."""

    def __init__(self, calib: Calib, part: DistillPart, seed: int) -> None:
        self.calib, self.seed = calib, seed
        self.augment = augment.choose(part.augment, calib)
        self.count = 1 if self.augment == "none" else part.views
        self.codec = part.codec
        self.mix = MIX if self.augment != "none" and len(calib.fit) > 1 else 0.0

    def identity(self) -> dict[str, Any]:  # Any: JSON
        """What decides the contents of the cache of answers, beside the teacher; goes into its record."""
        coded = {} if self.codec == "full" else {"codec": self.codec}
        return {
            **coded,
            "calibrate": self.calib.calibrate.digest,
            "fit": self.calib.fit.digest,
            "modality": self.calib.modality,
            "preprocess": self.calib.key()["preprocess"],
            "augment": self.augment,
            "mix": self.mix,
            "seed": self.seed,
        }

    def at(self, samples: NDArray[np.int64], views: NDArray[np.int64] | int) -> Seen:
        """View views[k] of sample samples[k]; both [n]."""
        if self.augment == "none":
            return self._plain(samples)
        views = np.broadcast_to(np.asarray(views, np.int64), samples.shape)
        draws = Draws(self.seed, samples, views)
        x, labels = self._single(samples, draws)
        if self.mix == 0.0:
            return Seen(x, labels)
        blended = np.flatnonzero(draws.uniform(_MIX_SLOT) < self.mix)
        partner = draws.integer(_PARTNER_SLOT, 0, len(self.calib.fit) - 1)[blended]
        # The partner is drawn in a view of its own, else two blends with it would share its shift and noise.
        twin = Draws(self.seed, samples[blended], -1 - views[blended])
        other_x, other_labels = self._single(partner, twin)
        weight = draws.uniform(_WEIGHT_SLOT)[blended].astype(np.float32)
        x[blended] = _blend(x[blended], other_x, weight)
        if labels is not None and other_labels is not None:
            labels = self._shares(labels)
            labels[blended] = _blend(labels[blended], self._shares(other_labels), weight)
        return Seen(x, labels)

    @cached_property
    def statistics(self) -> augment.Statistics:
        """Of the data, for what changes samples."""
        return augment.statistics(self.calib)

    def _plain(self, samples: NDArray[np.int64]) -> Seen:
        split = self.calib.fit
        x = as_taken(self.calib.take(split, samples))
        return Seen(x, None if split.y is None else np.asarray(split.y[samples]))

    def _single(self, samples: NDArray[np.int64], draws: Draws) -> tuple[Array, Array | None]:
        split = self.calib.fit
        x = self.calib.preprocess.apply(np.asarray(split.x[samples]))
        x = augment.apply(self.augment, x, draws, self.statistics)
        return x, None if split.y is None or split.y.ndim > 2 else np.asarray(split.y[samples])

    def _shares(self, labels: Array) -> Array:
        """Class numbers as shares of classes, [n, c]; other labels as real numbers."""
        if self.calib.classes is None or not np.issubdtype(labels.dtype, np.integer):
            return labels.astype(np.float32)
        return np.eye(self.calib.classes, dtype=np.float32)[labels]


def _blend(a: Array, b: Array, weight: Array) -> Array:
    """weight * a + (1 - weight) * b, one weight for each row."""
    weight = weight.reshape([-1] + [1] * (a.ndim - 1))
    return np.asarray(weight * a + (1 - weight) * b, np.float32)

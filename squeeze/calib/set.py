"""The nouns of a calibration set: three disjoint splits, and the way from a stored sample to the model's input."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from squeeze.calib import fit as calib_fit
from squeeze.calib import labels as calib_labels
from squeeze.calib import split as calib_split
from squeeze.calib.modality import Modality
from squeeze.calib.preprocess import Preprocess
from squeeze.calib.rows import Array, Raw, value_range

if TYPE_CHECKING:
    from squeeze.interface import TensorSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Stored samples x [n, ...] (in memory, or Rows of a file) and labels y: [n] int64, [n] or [n, k] float32, or None.

    `digest` is the SHA-256 of type, shape and bytes of both.
    """

    x: Raw
    y: Array | None
    digest: str

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Calib:
    """Three disjoint splits. `classes` is None without class labels; `assumed` is what nobody said, in words."""

    name: str
    source: str
    digest: str
    fit: Split
    calibrate: Split
    evaluate: Split
    preprocess: Preprocess
    modality: Modality
    metric: str | None
    classes: int | None
    assumed: tuple[str, ...] = ()

    def inputs(self, split: Split, start: int = 0, stop: int | None = None) -> Array:
        """Preprocessed samples start..stop. Before `fitted`, as far as can be guessed without a model."""
        return self._preprocess().apply(np.asarray(split.x[start:stop]))

    def batches(self, split: Split, batch_size: int) -> Iterator[Array]:
        """Preprocessed samples in order, `batch_size` at a time; only that many are in memory."""
        preprocess = self._preprocess()
        for start in range(0, len(split), batch_size):
            yield preprocess.apply(np.asarray(split.x[start : start + batch_size]))

    def sample(self, split: Split, n: int, seed: int = 0) -> NDArray[np.intp]:
        """`n` indices into `split` (all, if it has fewer) in random order, balanced over the classes of labels."""
        count = min(n, len(split))
        return calib_split.balanced(split.y, len(split), count, np.random.default_rng(seed))

    def fitted(self, input: TensorSpec, outputs: int) -> Calib:  # noqa: A002 - the model's word for it
        """This set as the model takes it: axes, scale and type decided.

        outputs: how many numbers the model gives for a sample; 0 when they are no vector, then labels go unchecked.
        Raises ConfigError when shape, type or labels can't agree with the model. What was assumed is said as a warning.
        """
        preprocess, modality, assumed = calib_fit.fit(self._data(), self.preprocess, input)
        labels = [s.y for s in (self.fit, self.calibrate, self.evaluate) if s.y is not None]
        if outputs and self.metric in calib_labels.METRICS:
            calib_labels.check_range(labels, self.source, str(self.metric), outputs)
        classes = self.classes
        if classes is not None and outputs:
            classes = max(classes, outputs)
        for text in assumed:
            logger.warning("%s: assumed %s", self.source, text)
        return replace(
            self,
            preprocess=preprocess,
            modality=modality,
            classes=classes,
            assumed=(*self.assumed, *assumed),
        )

    def _preprocess(self) -> Preprocess:
        known = self.preprocess
        if known.layout == "auto" or known.scale is None:
            return calib_fit.guess(self._data(), known)
        return known

    def _data(self) -> calib_fit.Data:
        x = self.fit.x
        splits = (self.fit, self.calibrate, self.evaluate)
        low, high = value_range([s.x for s in splits]) if x.dtype.kind in "iu" else (0.0, 0.0)
        return calib_fit.Data(self.source, x.shape[1:], str(x.dtype), low, high, self.modality)
